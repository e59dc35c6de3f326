#!/usr/bin/env bash
# Builds every Wasm guest of the repository into $GUESTS, by the command a plugin's author uses.
# A guest is a crate that makes a cdylib; a workspace of guests is built at once.
set -euo pipefail

# Guests share one folder for what they compile, also with the tests of runtime/plugin-host, or
# each would build the standard library again.
export CARGO_TARGET_DIR=$GUESTS

# The folder to build for the guest in $1: the workspace above it, or itself.
root_of() {
    local folder=$1
    while [[ $folder == */* ]]; do
        if grep -qs '^\[workspace\]' "$folder/Cargo.toml"; then
            echo "$folder"
            return
        fi
        folder=$(dirname "$folder")
    done
    echo "$1"
}

roots() {
    local manifest
    git ls-files --cached --others --exclude-standard -- 'plugins/**/Cargo.toml' \
        'examples/**/Cargo.toml' | xargs -r grep -l cdylib | while IFS= read -r manifest; do
        unit_of "$(dirname "$manifest")"
    done | sort -u
}

# What is built for the guest in $1: its workspace, or itself where the workspace leaves it out.
unit_of() {
    local root
    root=$(root_of "$1")
    if grep -s '^default-members' "$root/Cargo.toml" | grep -qv "\"$(basename "$1")\""; then
        echo "$1"
    else
        echo "$root"
    fi
}

mkdir -p "$GUESTS"
while IFS= read -r root; do
    started=$SECONDS
    if ! log=$("$GRISTMILL" plugin build "$root" --out "$GUESTS" --locked 2>&1); then
        printf '%s\n' "$log" >&2
        echo "guests: gristmill plugin build $root failed" >&2
        exit 1
    fi
    echo "    $root in $((SECONDS - started)) s"
done < <(roots)
