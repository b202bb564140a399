#!/usr/bin/env bash
# fuzz.sh [TARGET...]: runs fuzz targets under libFuzzer, all of them if none is named. This is `make fuzz`.
#
#   TIME=60       seconds for each target
#   JOBS=1        targets at the same time
#
# What is found on the way is kept in .cache/fuzz/TARGET: inputs in `corpus`, what made a target fail in `crashes`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
have cargo || die "cargo is not on PATH; install Rust from https://rustup.rs"
cd "$root"
seconds=${TIME:-60} jobs=${JOBS:-1}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "TIME=$seconds is not a number of seconds; try TIME=60"
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "JOBS=$jobs is not a number; try JOBS=2"

own=test-harness/fuzz
mapfile -t known < <(cd "$own/corpus" && printf '%s\n' *)
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=("${known[@]}")
for target in "${targets[@]}"; do
  [ -d "$own/corpus/$target" ] || die "there is no target \`$target\`; there are: ${known[*]}"
done

# The counters are in our own crates only (see fuzz-rustc.sh), so all others are those of the tests: the same profile,
# with our own crates optimised, and overflows and debug assertions still checked.
mkdir -p "$cache/fuzz"
started=$SECONDS
RUSTC_WORKSPACE_WRAPPER=$PWD/test-harness/tools/fuzz-rustc.sh CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_INCREMENTAL=0 \
  run_cargo cargo test --quiet --locked --no-run --features bartizan-fuzz/libfuzzer --test libfuzzer \
  --message-format=json-render-diagnostics >"$cache/fuzz/build.json"
built=$(sed -n 's/.*"name":"libfuzzer".*"executable":"\([^"]*\)".*/\1/p' "$cache/fuzz/build.json")
[ -x "$built" ] || die "cargo has built no program for libFuzzer; see .cache/fuzz/build.json"
program=$cache/fuzz/libfuzzer
ln -sf "$built" "$program"
say "built in $((SECONDS - started)) s"

# number NAME LOG: a number of libFuzzer's final statistics.
number() { sed -n "s/^stat::$1: *//p" "$2"; }
# coverage first|last LOG: how many edges were covered then.
coverage() {
  local line='s/^#[0-9]*\t.* cov: \([0-9]*\) .*/\1/p'
  if [ "$1" = first ]; then sed -n '/INITED/'"$line" "$2"; else sed -n "$line" "$2" | tail -n 1; fi
}
grouped() { sed ':a;s/\B[0-9]\{3\}\>/,&/;ta' <<<"${1:-0}"; }

fuzz() {
  local target=$1 home=$cache/fuzz/$1 options=() status=0
  mkdir -p "$home/corpus" "$home/crashes"
  [ ! -f "$own/dictionaries/$target.dict" ] || options+=("-dict=$own/dictionaries/$target.dict")
  BARTIZAN_FUZZ=$target "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 -print_final_stats=1 \
    -artifact_prefix="$home/crashes/" "${options[@]}" "$home/corpus" "$own/corpus/$target" >"$home/log" 2>&1 || status=$?
  local before after
  before=$(coverage first "$home/log") after=$(coverage last "$home/log")
  local verdict="no crash"
  [ "$status" -eq 0 ] || verdict="CRASH"
  printf '%-9s %12s executions %9s/s   %6s edges (%+d new)   %4d new inputs   %s\n' "$target" \
    "$(grouped "$(number number_of_executed_units "$home/log")")" \
    "$(grouped "$(number average_exec_per_sec "$home/log")")" \
    "$(grouped "${after:-0}")" $((${after:-0} - ${before:-0})) "$(number new_units_added "$home/log")" "$verdict"
  [ "$status" -eq 0 ] && return 0
  grep -a -m 3 -E 'panicked at|^thread|ERROR: libFuzzer|^the ' -A 2 "$home/log" || tail -n 20 "$home/log"
  sed -n 's/.*Test unit written to \(.*\)/  again with: BARTIZAN_FUZZ='"$target"' .cache\/fuzz\/libfuzzer \1/p' "$home/log"
  return 1
}

# Shows how far a target is, where somebody looks.
watch() {
  local log=$cache/fuzz/$1/log
  while sleep 1; do
    printf '\r\033[K%s: %s' "$1" "$(grep -a '^#' "$log" 2>/dev/null | tail -n 1 | cut -c -100 | tr '\t' ' ')" >&2
  done
}

failed=()
if [ "$jobs" -eq 1 ]; then
  for target in "${targets[@]}"; do
    watcher=
    if [ -t 2 ]; then watch "$target" & watcher=$!; fi
    result=0
    line=$(fuzz "$target") || result=1
    if [ -n "$watcher" ]; then kill "$watcher"; wait "$watcher" 2>/dev/null || true; printf '\r\033[K' >&2; fi
    printf '%s\n' "$line"
    [ "$result" -eq 0 ] || failed+=("$target")
  done
else
  export -f fuzz number coverage grouped
  export own cache program seconds
  printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'set -uo pipefail; fuzz "$1" || exit 1' _ {} || failed+=("see above")
fi
[ "${#failed[@]}" -eq 0 ] || die "crashes: ${failed[*]}; the inputs are in .cache/fuzz/*/crashes"
say "${#targets[@]} targets, $seconds s each: no crash"
