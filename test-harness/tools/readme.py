#!/usr/bin/env python3
"""Runs the commands of README.md, so that what it promises is what happens.

Every line of a fenced block marked `sh` is run from the root of the repository, one after the other, in one
shell per block. Lines that fetch the repository are left out. `make run` stops by itself after having checked
the lines it printed, by BARTIZAN_RUN_FOR. What the commands leave at the root is removed again.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEFT_OUT = ("git clone ", "cd ")
BUILT = {"target", "dist", ".cache"}


def main():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if not blocks:
        sys.exit("error: README.md has no block marked `sh`: nothing was checked")
    before = set(ROOT.iterdir())
    try:
        run(blocks)
    finally:
        for made in set(ROOT.iterdir()) - before:
            if made.name not in BUILT:
                shutil.rmtree(made) if made.is_dir() else made.unlink()


def run(blocks):
    environment = dict(os.environ, BARTIZAN_RUN_FOR="3s")
    commands = 0
    for block in blocks:
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith(("#", *LEFT_OUT))]
        if not lines:
            continue
        commands += len(lines)
        script = "set -euo pipefail\n" + "\n".join(lines)
        print("\n".join(f"$ {line}" for line in lines), flush=True)
        if subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, timeout=1800).returncode:
            sys.exit(f"error: a command of README.md fails; the block was:\n{block}")
    print(f"README.md: {commands} lines run")


if __name__ == "__main__":
    main()
