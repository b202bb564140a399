#!/usr/bin/env bash
# What is checked without running anything: format, clippy, docs, boundaries.
set -euo pipefail
here=$(dirname "$0")
. "$here/lib.sh"
cd "$root"
cargo fmt --all --check
# The filter crates too: clippy needs no linker, so it reads them for this machine.
run_cargo cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" run_cargo cargo doc --quiet --workspace --no-deps --locked
python3 "$here/boundaries.py"
for script in "$here"/*.sh .ci/*; do bash -n "$script"; done
say "lint: format, clippy, docs and boundaries are clean"
