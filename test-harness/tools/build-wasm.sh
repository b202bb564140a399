#!/usr/bin/env bash
# build-wasm.sh CRATE NAME: builds a filter crate into dist/NAME.wasm, optimised and stripped.
# WASM_OPT=no leaves wasm-opt out.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
crate=$1 name=$2
out=$root/dist/$name.wasm
stamp=$cache/$name.wasm.built

cd "$root"
"$(dirname "$0")/wasm-cargo.sh" build --profile wasm -p "$crate"
built=$target_dir/$wasm_target/wasm/${crate//-/_}.wasm
[ -f "$built" ] || die "cargo left no module at $built"

trim=$(dirname "$0")/exports.py
how="${WASM_OPT:-yes} $(sha256sum <"$built") $(sha256sum <"$0") $(sha256sum <"$trim")"
if [ -f "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$how" ]; then exit 0; fi

mkdir -p "$root/dist" "$cache"
if [ "$name" = bartizan ]; then
  # Callbacks that the SDK exports and the filter does not use cost a crossing each.
  python3 "$trim" "$built" "$out.trimmed"
  built=$out.trimmed
fi
status=3
if [ "${WASM_OPT:-yes}" = yes ]; then
  say "optimising $name.wasm"
  # The features that the compiler uses by default for this target; none beyond what Envoy's V8 runs.
  status=0
  "$(dirname "$0")/wasm-opt.sh" -O3 --strip-debug --strip-producers --strip-target-features \
    --enable-bulk-memory --enable-sign-ext --enable-nontrapping-float-to-int --enable-mutable-globals \
    --enable-simd --enable-reference-types --enable-multivalue \
    "$built" -o "$out.new" || status=$?
fi
case $status in
  0) mv "$out.new" "$out" ;;
  3) cp "$built" "$out"; say "note: $name.wasm is not optimised by wasm-opt; it works, and is larger and slower" ;;
  *) rm -f "$out.new" "$out.trimmed"; die "wasm-opt failed on $built" ;;
esac
rm -f "$out.trimmed"
printf '%s' "$how" >"$stamp"
say "dist/$name.wasm: $(stat -c %s "$out") bytes, sha256 $(sha256sum <"$out" | cut -d' ' -f1)"
