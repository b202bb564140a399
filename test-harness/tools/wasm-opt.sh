#!/usr/bin/env bash
# Runs wasm-opt of the pinned binaryen; exits with 3, and says so, where it cannot be had.
# binaryen comes from npm as one portable file; where there is no Node, PyPI has that too.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=132.0.0
home=$cache/binaryen-$version
wasm_opt=$home/node_modules/binaryen/bin/wasm-opt

node_bin || { say "no Node here and none from PyPI: going without wasm-opt"; exit 3; }
if [ ! -f "$wasm_opt" ]; then
  say "installing wasm-opt (binaryen $version) into .cache"
  mkdir -p "$home"
  quietly npm install --prefix "$home" --no-save --no-audit --no-fund --ignore-scripts "binaryen@$version" ||
    { say "npm cannot install binaryen: going without wasm-opt"; exit 3; }
fi
[ "$#" -gt 0 ] || exit 0
exec node "$wasm_opt" "$@"
