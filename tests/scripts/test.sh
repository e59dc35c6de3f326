#!/usr/bin/env bash
# Runs the given make targets one by one, stops at the first that fails, and says how long each
# took.
set -uo pipefail

names=()
seconds=()
failed=

minutes() { printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); }

for stage in "$@"; do
    printf '==> %s\n' "$stage"
    started=$SECONDS
    make "$stage" || failed=$stage
    names+=("$stage")
    seconds+=($((SECONDS - started)))
    printf '    %s took %s\n' "$stage" "$(minutes $((SECONDS - started)))"
    [[ -z $failed ]] || break
done

printf '\n==> summary\n'
for at in "${!names[@]}"; do
    result=ok
    [[ ${names[$at]} != "$failed" ]] || result=FAILED
    printf '    %-10s %8s  %s\n' "${names[$at]}" "$(minutes "${seconds[$at]}")" "$result"
done
printf '    %-10s %8s\n' total "$(minutes $SECONDS)"
if [[ -n $failed ]]; then
    printf '\nstage %s failed; run it alone by: make %s\n' "$failed" "$failed" >&2
    exit 1
fi
