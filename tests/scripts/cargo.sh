#!/usr/bin/env bash
# Runs cargo with its output made readable: what it compiles is counted, not listed; all else is
# shown as it comes. The exit code is cargo's.
set -euo pipefail

started=$SECONDS
shown=$SECONDS
compiled=0

show() { # show CRATE
    local passed=$((SECONDS - started))
    printf '    %d crates in %dm%02ds, now %s\n' $compiled $((passed / 60)) $((passed % 60)) "$1"
    shown=$SECONDS
}

# Cargo indents its own words to a width of 12; colours may stand before them.
working='^[^A-Za-z]* (Compiling|Checking|Documenting) ([^ ]+) '
fetching='^[^A-Za-z]* (Blocking|Downloading|Downloaded|Updating|Locking|Adding|Generated) '

CARGO_TERM_PROGRESS_WHEN=never cargo "$@" 2>&1 | {
    while IFS= read -r line || [[ -n $line ]]; do
        if [[ $line =~ $working ]]; then
            compiled=$((compiled + 1))
            if ((SECONDS - shown >= 15)); then show "${BASH_REMATCH[2]}"; fi
        elif ! [[ $line =~ $fetching ]]; then
            printf '%s\n' "$line"
        fi
    done
}
