#!/usr/bin/env bash
# rustc with the counters that libFuzzer reads. cargo calls it for the crates of this workspace alone
# (RUSTC_WORKSPACE_WRAPPER): what we wrote is what is to be covered, and dependencies are shared with all other builds.
set -euo pipefail
case " $* " in
  # A build script is a program of its own, without libFuzzer.
  *" --crate-name build_script_"*) exec "$@" ;;
esac
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
