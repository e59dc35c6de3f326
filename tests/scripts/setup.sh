#!/usr/bin/env bash
# Installs what the build and the tests need and this machine lacks; quick when nothing is lacking.
# On Debian and its relatives by apt-get, elsewhere it says what to install.
set -euo pipefail

missing=()
need() { # need PACKAGE COMMAND...: all of the commands, or the package
    local package=$1 one
    shift
    for one in "$@"; do
        if ! command -v "$one" >/dev/null; then
            missing+=("$package")
            return
        fi
    done
}

if ! command -v cargo >/dev/null; then
    echo 'setup: install Rust by rustup, https://rustup.rs' >&2
    exit 1
fi
# The first call of a rustup that lacks the pinned version installs it.
rustc --version >/dev/null

need build-essential cc make
need git git
need curl curl
# A standard library for the guests: rustup's where it is installed, else Debian's sources of it.
if [[ ! -d $(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown ]]; then
    for package in rustc-web cargo-web rust-web-src; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed' ||
            missing+=("$package")
    done
fi
# Outside parties of the examples are played by a script.
need python3 python3
# OpenSSL, which the Kafka client needs, is configured by perl and some of its modules.
perl -MIPC::Cmd -MFindBin -e 1 2>/dev/null || missing+=(perl)
# Apache Kafka comes as jars.
need default-jre-headless java
need maven mvn
# The OpenTelemetry Collector of the tests comes as Go modules; Go's own package is found there.
PATH=$PATH:/usr/local/go/bin
need golang-go go
# Outboxes are tables of a real PostgreSQL. Debian keeps what is not for users apart.
[[ -n $(compgen -G '/usr/lib/postgresql/*/bin/initdb') ]] || need postgresql initdb
# Alert rules are checked, and fire, in the real one.
need prometheus prometheus promtool
# A page that follows a topic is drawn by a real browser.
need chromium chromium
# The image is built and run only where containers are native.
if [[ $(uname -s) == Linux ]]; then
    need buildah buildah
    need debootstrap debootstrap
fi

if ((${#missing[@]} == 0)); then
    echo '    nothing to install'
    exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    as_root=(sudo)
fi
if ! command -v apt-get >/dev/null || { ((${#as_root[@]})) && ! command -v sudo >/dev/null; }; then
    cat >&2 <<END
setup: this machine lacks: ${missing[*]} (Debian's names)
  Install their equivalents. For the guests' standard library, instead of the three rust-web
  packages, run: rustup target add wasm32-unknown-unknown
END
    exit 1
fi

echo "    installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1
}
if ! { install update && install install -y --no-install-recommends "${missing[@]}"; }; then
    cat "$log" >&2
    echo "setup: install ${missing[*]} by hand, or, where apt knows no rust-web packages, run:" >&2
    echo '  rustup target add wasm32-unknown-unknown' >&2
    exit 1
fi
