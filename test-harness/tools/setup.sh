#!/usr/bin/env bash
# Gets what the other targets need. Everything but the compiler goes into .cache.
set -euo pipefail
here=$(dirname "$0")
. "$here/lib.sh"
have cargo || die "cargo is not on PATH; install Rust from https://rustup.rs"
say "wasm target: $wasm_target by $("$here/setup-wasm.sh")"
say "envoy:       $("$here/envoy-path.sh" | xargs -I{} sh -c '{} --version' | grep -o '/[0-9][0-9.]*/' | tr -d /)"
if "$here/wasm-opt.sh"; then say "wasm-opt:    $("$here/wasm-opt.sh" --version)"; fi
