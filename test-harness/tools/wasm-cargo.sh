#!/usr/bin/env bash
# wasm-cargo.sh COMMAND [ARGUMENT...]: cargo for the wasm target, by rustup or by Debian's packages.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
route=$("$(dirname "$0")/setup-wasm.sh")
command=$1
shift

# Where this machine keeps its registry is nobody's business. Our own paths are relative already.
remap="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"

# 16 bytes at a time where values are scanned. Every Envoy with V8 has it on (WebAssembly 2.0).
features="-C target-feature=+simd128"

# Readers of plans are a quarter of the module: derived code into which the JSON parser is inlined, hundreds of times over.
# With LLVM's usual thresholds (225, and 325 where the code says `#[inline]`) the module is 240 kB larger, and a request costs
# the same within a few hundredths: see `make inside`.
features="$features -C llvm-args=-inline-threshold=45 -C llvm-args=-inlinehint-threshold=45"

if [ "$route" = rustup ]; then
  export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="$features $remap ${WASM_RUSTFLAGS:-}"
  run_cargo cargo "$command" --target "$wasm_target" "$@"
else
  # `-Z build-std` is an unstable flag; Debian's stable compiler takes it with RUSTC_BOOTSTRAP.
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc
  export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-19
  export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C link-self-contained=no -L native=/usr/lib/wasm32-wasi $features $remap ${WASM_RUSTFLAGS:-}"
  run_cargo /usr/bin/cargo "$command" --target "$wasm_target" -Z build-std=std,panic_abort "$@"
fi
