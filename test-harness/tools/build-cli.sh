#!/usr/bin/env bash
# Builds the `bartizan` command into dist/bartizan.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
run_cargo cargo build --release -p bartizan-cli
built=$target_dir/release/bartizan
mkdir -p dist
cmp -s "$built" dist/bartizan || { install -m 755 "$built" dist/bartizan; say "dist/bartizan: $(stat -c %s dist/bartizan) bytes"; }
