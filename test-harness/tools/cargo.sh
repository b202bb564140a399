#!/usr/bin/env bash
# cargo.sh ARGUMENT...: cargo, silent when there is nothing to build.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
have cargo || die "cargo is not on PATH; install Rust from https://rustup.rs"
cd "$root"
run_cargo cargo "$@"
