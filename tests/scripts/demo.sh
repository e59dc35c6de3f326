#!/usr/bin/env bash
# Plays a story script with the built binary in front of PATH, and names the command that failed.
# Run by `make demo`.
set -Eeuo pipefail

story=$1
PATH=$(dirname "$GRISTMILL"):$PATH
export PATH
trap 'printf "\ndemo: failed at %s line %s: %s\n" "$story" "$LINENO" "$BASH_COMMAND" >&2' ERR
# shellcheck source=/dev/null
source "$story"
