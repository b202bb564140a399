#!/usr/bin/env bash
# Prints what each crate adds to the module, and the size of the finished one. Fails above the limit.
set -euo pipefail
here=$(dirname "$0")
. "$here/lib.sh"
limit=$((2 * 1024 * 1024))
"$here/build-wasm.sh" bartizan-filter bartizan
python3 "$here/size.py" "$target_dir/$wasm_target/wasm/bartizan_filter.wasm"
size=$(stat -c %s "$root/dist/bartizan.wasm")
printf '%-32s %9d of %d\n' "dist/bartizan.wasm" "$size" "$limit"
[ "$size" -le "$limit" ] || die "the module is larger than it may be"
