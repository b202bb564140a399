#!/usr/bin/env bash
# What is checked without running anything: format, clippy, docs, boundaries.
set -euo pipefail
here=$(dirname "$0")
. "$here/lib.sh"
cd "$root"
cargo fmt --all --check
run_cargo cargo clippy --quiet --workspace --all-targets --locked -- -D warnings
# Outside of wasm the filter is empty, so it is read for its own target as well. Debian has no clippy that
# knows the target; there the compiler's own warnings must do.
if [ "$("$here/setup-wasm.sh")" = rustup ]; then
  "$here/wasm-cargo.sh" clippy --quiet --locked -p bartizan-filter -p bartizan-noop -p bartizan-example -p bartizan-probe -- -D warnings
else
  say "note: no clippy for $wasm_target here; the filter is read by the compiler only"
  "$here/wasm-cargo.sh" check --quiet --locked -p bartizan-filter -p bartizan-noop -p bartizan-example -p bartizan-probe
fi
RUSTDOCFLAGS="-D warnings" run_cargo cargo doc --quiet --workspace --no-deps --locked
python3 "$here/boundaries.py"
for script in "$here"/*.sh .ci/*; do bash -n "$script"; done
say "lint: format, clippy, docs and boundaries are clean"
