#!/usr/bin/env bash
# Licences, sources, duplicates and known vulnerabilities of all dependencies, by cargo-deny and deny.toml.
#
# The advisories come from a git repository. Where it cannot be reached, give a copy in ADVISORY_DB=/path;
# without one that check, and only that one, is left out with a warning. ADVISORIES=required makes it an error.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
version=0.20.2
home=$cache/cargo-deny-$version
deny=$home/bin/cargo-deny

if [ ! -x "$deny" ]; then
  if have cargo-deny && [ "$(cargo-deny --version)" = "cargo-deny $version" ]; then
    deny=$(command -v cargo-deny)
  else
    say "building cargo-deny $version into .cache; this takes some minutes, once"
    # Its own target directory: it shares nothing with the workspace. Not optimised: it runs for a second and is
    # built on every new machine.
    CARGO_TARGET_DIR=$home/target quietly cargo install --debug cargo-deny --version "$version" --locked --root "$home"
    rm -rf "$home/target"
  fi
fi

"$deny" --log-level error --all-features --locked check --hide-inclusion-graph bans licenses sources

repository=https://github.com/rustsec/advisory-db
config=deny.toml
if [ -n "${ADVISORY_DB:-}" ]; then
  [ -d "$ADVISORY_DB/.git" ] || die "ADVISORY_DB is \`$ADVISORY_DB\`, which is not a git checkout of $repository"
  repository=$ADVISORY_DB
elif ! GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote -q "$repository" HEAD >/dev/null 2>&1; then
  [ "${ADVISORIES:-}" != required ] || die "$repository cannot be reached; give a copy in ADVISORY_DB"
  say "WARNING: NOT CHECKED for known vulnerabilities: $repository cannot be reached (ADVISORY_DB=/path/to/a/copy helps)"
  exit 0
fi
if [ -n "${ADVISORY_DB:-}" ]; then
  config=$(mktemp --suffix=.toml)
  trap 'rm -f "$config"' EXIT
  sed "s|^db-urls = .*|db-urls = [\"file://$(realpath "$ADVISORY_DB")\"]|" deny.toml >"$config"
fi
"$deny" --log-level error --all-features --locked check --config "$config" --hide-inclusion-graph advisories
