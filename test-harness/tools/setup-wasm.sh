#!/usr/bin/env bash
# Makes sure that something here can build for wasm32-wasip1, and prints which: `rustup` or `debian`.
# WASM_TOOLCHAIN=rustup or =debian forces one of them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

by_rustup() {
  # A cargo without rustup (a distribution's) may have the target too.
  local sysroot
  have rustc || return 1
  sysroot=$(rustc --print sysroot) || return 1
  [ -d "$sysroot/lib/rustlib/$wasm_target/lib" ] && return 0
  have rustup || return 1
  say "adding the Rust target $wasm_target"
  # On a closed network rustup would retry for many minutes.
  quietly timeout "${RUSTUP_TIMEOUT:-120}" rustup target add "$wasm_target"
}

by_debian() {
  # wasm-ld comes with lld-19, the C library with wasi-libc, and the standard library is built from
  # rust-web-src, for Debian ships none for this target.
  apt_install rustc-web cargo-web rust-web-src lld-19 wasi-libc
}

case ${WASM_TOOLCHAIN:-} in
  rustup) by_rustup || die "rustup cannot provide $wasm_target; try WASM_TOOLCHAIN=debian"; echo rustup ;;
  debian) by_debian || die "the Debian packages for $wasm_target cannot be installed"; echo debian ;;
  "")
    if by_rustup; then echo rustup
    elif say "rustup cannot provide $wasm_target; falling back to the Debian packages" && by_debian; then echo debian
    else die "no way to build for $wasm_target: run \`rustup target add $wasm_target\`, or install the Debian packages rustc-web cargo-web rust-web-src lld-19 wasi-libc"
    fi ;;
  *) die "WASM_TOOLCHAIN is \`${WASM_TOOLCHAIN}\`; use rustup or debian" ;;
esac
