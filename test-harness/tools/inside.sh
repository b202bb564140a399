#!/usr/bin/env bash
# What a request costs inside the filter: the engine as a module, in the V8 of Node.
set -euo pipefail
here=$(dirname "$0")
. "$here/lib.sh"
"$here/build-wasm.sh" bartizan-inside inside
cd "$root"
run_cargo cargo build --bin bartizan --test schema
node_bin || { say "note: no Node here and none from PyPI: what a request costs inside the filter is not measured"; exit 0; }
exec node test-harness/bench/inside/run.mjs dist/inside.wasm "$target_dir/debug/bartizan" dist/inside
