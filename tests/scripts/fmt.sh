#!/usr/bin/env bash
# Formats every Rust file of the repository, in whatever workspace. With --check it changes
# nothing, names the files it would change, and fails.
set -euo pipefail

sources() { git ls-files -z --cached --others --exclude-standard -- '*.rs'; }

if [[ ${1:-} != --check ]]; then
    sources | xargs -0 rustfmt --edition 2024
    exit
fi
if ! files=$(sources | xargs -0 rustfmt --edition 2024 --check -l); then
    # A file that is the module of another is met twice.
    sort -u <<<"$files"
    echo 'fmt: run make fmt' >&2
    exit 1
fi
