#!/usr/bin/env python3
"""Holds the crates to the table of ARCHITECTURE.md: who may depend on whom, and what none may touch.

The module stays small and free of parsers, and the engine stays pure, only as long as nobody adds the one
convenient dependency. Exits with 1 and a line for each breach.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# crate: (crates of this workspace that it may name, packages that it may never reach, at any depth)
HOSTS = {"proxy-wasm", "wasmtime"}
TABLE = {
    "bartizan-engine": (set(), HOSTS),
    "bartizan-spec": (set(), HOSTS),
    "bartizan-compiler": ({"bartizan-spec", "bartizan-engine"}, HOSTS),
    "bartizan-filter": ({"bartizan-engine"}, {"bartizan-spec", "bartizan-compiler", "wasmtime"}),
    # The host, to run cases through the module.
    "bartizan-cases": (
        {"bartizan-spec", "bartizan-compiler", "bartizan-engine", "bartizan-host"},
        {"proxy-wasm"},
    ),
    "bartizan-cli": (
        {
            "bartizan-spec",
            "bartizan-compiler",
            "bartizan-engine",
            "bartizan-host",
            "bartizan-cases",
            # For `bartizan test --envoy`.
            "bartizan-e2e",
            "bartizan-publish",
        },
        {"proxy-wasm"},
    ),
    # For its times in logs it has the spec; it knows nothing of policies.
    "bartizan-publish": ({"bartizan-spec", "bartizan-engine"}, HOSTS | {"bartizan-compiler"}),
    "bartizan-host": (set(), {"bartizan-filter", "proxy-wasm"}),
    "bartizan-fuzz": ({"bartizan-cases", "bartizan-compiler", "bartizan-engine", "bartizan-host"}, {"proxy-wasm"}),
    "bartizan-conformance": ({"bartizan-engine"}, {"proxy-wasm"}),
    "bartizan-e2e": (
        # What publishes, for proxies to follow.
        {"bartizan-cases", "bartizan-compiler", "bartizan-engine", "bartizan-host", "bartizan-publish"},
        {"proxy-wasm"},
    ),
    "bartizan-bench": (
        {"bartizan-e2e", "bartizan-cases", "bartizan-compiler", "bartizan-engine"},
        {"proxy-wasm"},
    ),
    "bartizan-adversary": (
        {"bartizan-cases", "bartizan-compiler", "bartizan-engine", "bartizan-host"},
        {"bartizan-filter", "proxy-wasm"},
    ),
    "bartizan-noop": (set(), set()),
    "bartizan-inside": ({"bartizan-engine"}, HOSTS),
    # Modules for the tests of the host, which know nothing of what is tested.
    "bartizan-example": (set(), {"wasmtime"}),
    "bartizan-probe": (set(), HOSTS),
}

# What the engine takes as arguments instead: time, files, threads, the environment, the network.
IMPURE = re.compile(
    r"\bstd::(?:fs|env|thread|process|io::stdin)\b|\b(?:SystemTime|Instant)\b|\b(?:Tcp|Udp|Unix)(?:Stream|Listener|Socket)\b"
)


def main():
    metadata = json.loads(
        subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT)
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    edges = {
        node["id"]: [
            # Normal and build dependencies; what only tests use does not ship.
            dep["pkg"] for dep in node["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
        ]
        for node in metadata["resolve"]["nodes"]
    }
    breaches = []
    for member in metadata["workspace_members"]:
        name = packages[member]["name"]
        if name not in TABLE:
            breaches.append(f"{name}: not in the table of {pathlib.Path(__file__).name}; add it, with what it may use")
            continue
        allowed, never = TABLE[name]
        direct = {packages[dep]["name"] for dep in edges[member]}
        ours = {dep for dep in direct if dep.startswith("bartizan-")}
        breaches += [f"{name}: may not depend on {dep}" for dep in sorted(ours - allowed)]
        reached = {packages[dep]["name"] for dep in closure(member, edges)}
        breaches += [f"{name}: reaches {dep}, which it never may" for dep in sorted(reached & never)]
    breaches += impurities()
    for breach in breaches:
        print(f"boundary: {breach}", file=sys.stderr)
    return 1 if breaches else 0


def closure(start, edges):
    seen, todo = set(), [start]
    while todo:
        for dep in edges[todo.pop()]:
            if dep not in seen:
                seen.add(dep)
                todo.append(dep)
    return seen


def impurities():
    sources = sorted((ROOT / "filter/engine/src").rglob("*.rs"))
    if not sources:
        return ["filter/engine/src: no sources found"]
    found = []
    for source in sources:
        if source.name == "tests.rs" or source.name.endswith("_tests.rs") or "tests" in source.parts:
            continue
        for number, line in enumerate(source.read_text().splitlines(), 1):
            if line.strip() == "#[cfg(test)]" and "mod tests" in source.read_text():
                break
            code = line.split("//")[0]
            if IMPURE.search(code):
                found.append(f"{source.relative_to(ROOT)}:{number}: the engine is pure: `{code.strip()}`")
    return found


if __name__ == "__main__":
    sys.exit(main())
