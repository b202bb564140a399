#!/usr/bin/env bash
# Everything that must pass, from a fresh clone, with nothing but package registries. This is `make ci`.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CI=1

began=$(date +%s)
step() {
  local name=$1 started
  shift
  started=$(date +%s)
  printf '\n== %s\n' "$name"
  "$@" || { printf '\n== FAILED: %s (%s)\n' "$name" "$*"; exit 1; }
  printf '== %s: ok, %d s\n' "$name" $(($(date +%s) - started))
}

vectors=${BARTIZAN_VECTORS:-$(cd .. && pwd)/shared/conformance}
[ -d "$vectors" ] || { echo "error: no public test vectors; set BARTIZAN_VECTORS to their directory"; exit 1; }
export BARTIZAN_VECTORS=$vectors

step "setup" make setup
step "lint: format, clippy, docs, boundaries" make lint
step "build" make build
step "size of the module" make size
step "unit, property, conformance and behaviour tests" make test-native
step "fuzz targets, briefly" make fuzz TIME=3 JOBS=2
step "races, faults and load in the simulated Envoy; cases, hostile input and floods in a real one" make e2e
step "the commands of the README" test-harness/tools/readme.py
step "licences, sources, advisories" test-harness/tools/deny.sh
printf '\n== all is well, %d s\n' $(($(date +%s) - began))
