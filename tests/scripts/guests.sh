#!/usr/bin/env bash
# Builds every Wasm guest of the repository into $GUESTS, each under its folder's name, by the
# command a plugin's author uses. A guest is a folder with a Cargo.toml that makes a cdylib.
set -euo pipefail

mkdir -p "$GUESTS"
# Guests share one folder for what they compile, or each would build the standard library again.
export CARGO_TARGET_DIR=$TARGET/guests-build

built=0
while IFS= read -r manifest; do
    guest=$(dirname "$manifest")
    name=$(basename "$guest")
    if ! log=$("$GRISTMILL" plugin build "$guest" --out "$GUESTS/$name.wasm" 2>&1); then
        printf '%s\n' "$log" >&2
        echo "guests: gristmill plugin build $guest failed" >&2
        exit 1
    fi
    built=$((built + 1))
done < <(git ls-files --cached --others --exclude-standard -- 'plugins/**/Cargo.toml' \
    'examples/**/Cargo.toml' | xargs -r grep -l cdylib | sort)
echo "    $built guests in $GUESTS"
