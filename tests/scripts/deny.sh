#!/usr/bin/env bash
# Runs the given checks of cargo-deny, whose rules are in deny.toml. Takes the cargo-deny of this
# machine, else builds the pinned one into the target folder (1.5 minutes on 2 cores, once; not
# optimised: it checks in seconds).
set -euo pipefail

version=0.20.2
tools=$TARGET/tools
deny=$(command -v cargo-deny || true)
if [[ -z $deny ]]; then
    deny=$tools/bin/cargo-deny
    if [[ $("$deny" --version 2>/dev/null) != "cargo-deny $version" ]]; then
        echo "    building cargo-deny $version"
        PATH=$tools/bin:$PATH CARGO_PROFILE_DEV_DEBUG=0 tests/scripts/cargo.sh install \
            cargo-deny --locked --version "$version" --force --debug --root "$tools" \
            --target-dir "$tools/build"
        rm -rf "$tools/build"
    fi
fi
exec "$deny" --log-level warn check "$@"
