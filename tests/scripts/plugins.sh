#!/usr/bin/env bash
# Lints and tests, natively, what stands outside the workspace: SDKs and guests that have tests.
set -euo pipefail

export CARGO_TARGET_DIR=$TARGET/plugins

while IFS= read -r manifest; do
    folder=$(dirname "$manifest")
    if grep -rqE '^\s*#\[test\]' --include '*.rs' "$folder"; then
        echo "    $folder"
        tests/scripts/cargo.sh clippy --manifest-path "$manifest" --locked --all-targets \
            --all-features -- -D warnings
        tests/scripts/cargo.sh test -q --manifest-path "$manifest" --locked --all-features
    fi
done < <(git ls-files --cached --others --exclude-standard -- 'plugins/**/Cargo.toml' \
    'examples/**/Cargo.toml' | xargs -r grep -l '^\[workspace\]' | sort)
