#!/usr/bin/env python3
"""size.py MODULE: how many bytes of machine code each crate adds to a module with a name section.

A function counts for the crate that defines it: a generic of `core` that only one crate uses counts for
`core`. Sizes are those before wasm-opt, which renames and merges functions; the shares stay about the same.
"""

import re
import sys
from collections import defaultdict

# Rust's v0 mangling: a crate root is `C`, a disambiguator, the length of the name and the name.
V0 = re.compile(r"C(?:s[0-9a-zA-Z]*_)?(\d+)_?([A-Za-z_]\w*)")
# The legacy one: lengths and names; `<A as B>::c` begins with A, written `_$LT$a..b`.
LEGACY = re.compile(r"_ZN\d+(?:_?\$LT\$)?(?:\$[A-Z]+\$|[^A-Za-z_])*(?:dyn\$u20\$|mut\$u20\$)?([A-Za-z]\w*?)(?:\.\.|\$|$)")
TRAIT = re.compile(r"\$u20\$as\$u20\$([A-Za-z]\w*?)\.\.")
LEGACY_PATH = re.compile(r"_ZN(\d+)([A-Za-z]\w*)")


def leb(data, at):
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return result, at


def sections(data):
    if data[:8] != b"\0asm\1\0\0\0":
        sys.exit("error: not a WebAssembly module of version 1")
    at = 8
    while at < len(data):
        number = data[at]
        length, start = leb(data, at + 1)
        at = start + length
        yield number, data[start:at]


def imported_functions(body):
    count, at = leb(body, 0)
    functions = 0
    for _ in range(count):
        for _ in range(2):
            length, at = leb(body, at)
            at += length
        kind, at = body[at], at + 1
        if kind == 0:
            functions += 1
            _, at = leb(body, at)
        elif kind == 3:
            at += 2
        else:
            at += 1 if kind == 1 else 0
            flags, at = leb(body, at)
            _, at = leb(body, at)
            if flags & 1:
                _, at = leb(body, at)
    return functions


def bodies(body):
    count, at = leb(body, 0)
    for _ in range(count):
        length, start = leb(body, at)
        at = start + length
        yield at - start


def names(body):
    length, at = leb(body, 0)
    if body[at:at + length] != b"name":
        return {}
    at += length
    while at < len(body):
        kind = body[at]
        length, start = leb(body, at + 1)
        at = start + length
        if kind == 1:
            found, place = {}, start
            count, place = leb(body, place)
            for _ in range(count):
                index, place = leb(body, place)
                size, place = leb(body, place)
                found[index] = body[place:place + size].decode("utf-8", "replace")
                place += size
            return found
    return {}


def crate_of(name):
    if name.startswith("_R"):
        match = V0.search(name)
        return match.group(2)[:int(match.group(1))] if match else "(unknown)"
    match = LEGACY_PATH.match(name)
    if match:
        return match.group(2)[:int(match.group(1))].split("$")[0].split("..")[0]
    match = LEGACY.match(name)
    if match and match.group(1).isupper():
        # `<T as Trait>`: a blanket implementation stands beside its trait.
        match = TRAIT.search(name) or match
    return match.group(1) if match else "(C library, linker, exports)"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    imports, sizes, named, constants = 0, [], {}, 0
    for number, body in sections(data):
        if number == 2:
            imports = imported_functions(body)
        elif number == 10:
            sizes = list(bodies(body))
        elif number == 11:
            constants = len(body)
        elif number == 0:
            named = named or names(body)
    if not named:
        sys.exit("error: the module has no name section; build it without stripping names")
    crates = defaultdict(lambda: [0, 0])
    for index, size in enumerate(sizes, imports):
        entry = crates[crate_of(named.get(index, ""))]
        entry[0] += size
        entry[1] += 1
    total = sum(sizes) + constants
    rows = sorted(((size, count, name) for name, (size, count) in crates.items()), reverse=True)
    rows.append((constants, 0, "(constants and tables)"))
    print(f"{'crate':32} {'bytes':>9} {'share':>6} {'functions':>9}")
    rest = [0, 0, 0]
    for size, count, name in rows:
        if size * 400 < total and not name.startswith("("):
            rest = [rest[0] + size, rest[1] + count, rest[2] + 1]
            continue
        print(f"{name:32} {size:9} {100 * size / total:5.1f}% {count or '':>9}")
    print(f"{f'({rest[2]} smaller crates)':32} {rest[0]:9} {100 * rest[0] / total:5.1f}% {rest[1]:>9}")
    print(f"{'all, before wasm-opt':32} {total:9} 100.0% {len(sizes):>9}")


if __name__ == "__main__":
    main()
