#!/usr/bin/env bash
# run.sh PROGRAM ARGUMENT...: builds a program of the harness and runs it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
have cargo || die "cargo is not on PATH; install Rust from https://rustup.rs"
cd "$root"
# With any test beside it the program's dependencies get the features that the tests of the workspace ask for.
# Otherwise wasmtime would be compiled a second time, for minutes.
run_cargo cargo build --bin "$1" --test schema
program=$1
shift
exec "$target_dir/debug/$program" "$@"
