#!/usr/bin/env python3
"""exports.py IN OUT: keeps of a wasm module's exports only those that the filter has a use for.

The SDK exports every callback of the ABI, and Envoy calls what is exported: for a plain request also
`proxy_on_response_body`, `proxy_on_log` and `proxy_on_done`, each a crossing into the VM for nothing. What is
not exported is not called, and wasm-opt then removes the code behind it. A callback that the filter begins to
use is added here, one of ours under the name of the ABI; test-harness/e2e fails without it.
"""
import sys

KEEP = {
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "bartizan_on_request_body",
    "bartizan_on_http_call_response",
}
# The SDK's own callback of that name panics on a token that it has not given out itself.
# That for the body cannot return everything that Envoy understands.
RENAME = {
    "bartizan_on_http_call_response": "proxy_on_http_call_response",
    "bartizan_on_request_body": "proxy_on_request_body",
}
EXPORT_SECTION = 7


def number(data, at):
    """An unsigned LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb(value):
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def kept(section):
    """The export section without what nobody needs, and the names that stay."""
    count, at = number(section, 0)
    entries, names = [], set()
    for _ in range(count):
        size, at = number(section, at)
        name = section[at : at + size].decode()
        after = at + size
        at = after + 1  # the kind
        _, at = number(section, at)
        if name in KEEP:
            names.add(name)
            new = RENAME.get(name, name).encode()
            entries.append(leb(len(new)) + new + section[after:at])
    return leb(len(entries)) + b"".join(entries), names


def main(source, target):
    module = open(source, "rb").read()
    if module[:8] != b"\0asm\1\0\0\0":
        sys.exit(f"error: {source} is not a wasm module")
    out, at, found = bytearray(module[:8]), 8, set()
    while at < len(module):
        kind = module[at]
        size, body = number(module, at + 1)
        section = module[body : body + size]
        if kind == EXPORT_SECTION:
            section, found = kept(section)
        out += bytes([kind]) + leb(len(section)) + section
        at = body + size
    missing = KEEP - found
    if missing:
        sys.exit(f"error: {source} does not export {', '.join(sorted(missing))}; is it a proxy-wasm module?")
    open(target, "wb").write(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
