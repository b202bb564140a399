#!/usr/bin/env bash
# Prints the path of the OCI registry in use, which is the `registry` of distribution (docker-registry): $REGISTRY, the one
# on PATH, or Debian's package, unpacked into .cache. It is unpacked and not installed: that needs no root, and the package would
# start a service on port 5000.
#
# To run one on loopback, with a directory of its own:
#
#   cat >registry.yml <<END
#   version: 0.1
#   log: {accesslog: {disabled: true}, level: warn}
#   storage: {filesystem: {rootdirectory: /tmp/a-directory}, delete: {enabled: true}}
#   http: {addr: 127.0.0.1:5000}
#   END
#   "$(test-harness/tools/registry-path.sh)" serve registry.yml
set -euo pipefail
. "$(dirname "$0")/lib.sh"

help="set REGISTRY=/path/to/docker-registry to use another"
if [ -n "${REGISTRY:-}" ]; then
  [ -x "$REGISTRY" ] || die "REGISTRY is \`$REGISTRY\`, which is not an executable file"
  echo "$REGISTRY"
  exit 0
fi
if have docker-registry; then
  command -v docker-registry
  exit 0
fi

home=$cache/docker-registry
path=$home/usr/bin/docker-registry
if [ ! -x "$path" ]; then
  { have apt-get && have dpkg-deb; } || die "there is no docker-registry on PATH, and no apt-get here; $help"
  say "unpacking Debian's docker-registry into .cache"
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/docker-registry.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # apt downloads as a user of its own where it can, who must be able to write here.
  chmod 755 "$work"
  download() { (cd "$work" && quietly apt-get download -q -o APT::Sandbox::User=root docker-registry); }
  if ! download 2>/dev/null; then
    # The lists are old or missing, and only root may fetch new ones.
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    quietly "${as_root[@]}" apt-get update -q || say "apt-get update failed; trying with the lists at hand"
    download || die "cannot download docker-registry; $help"
  fi
  dpkg-deb -x "$work"/docker-registry_*.deb "$work/root"
  [ -x "$work/root/usr/bin/docker-registry" ] || die "the package docker-registry holds no such program; $help"
  quietly "$work/root/usr/bin/docker-registry" --version || die "docker-registry does not run on this machine; $help"
  rm -rf "$home"
  mv "$work/root" "$home"
fi
echo "$path"
