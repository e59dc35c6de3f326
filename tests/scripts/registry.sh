#!/usr/bin/env bash
# Fetches a schema registry into $REGISTRY; quick when it is there. The tests start it.
set -euo pipefail

folder=${REGISTRY:?folder for the registry}
pom=tests/registry/pom.xml
if cmp -s "$pom" "$folder/pom.xml"; then
    exit 0
fi
rm -rf "$folder" "$folder.part"
mkdir -p "$folder.part"
if ! log=$(mvn -B -q -f "$pom" dependency:unpack-dependencies \
    -DoutputDirectory="$(realpath "$folder.part")" \
    -DmarkersDirectory="$(realpath "$folder.part")/markers" 2>&1); then
    printf '%s\n' "$log" >&2
    echo 'registry: fetch what tests/registry/pom.xml names' >&2
    exit 1
fi
cp "$pom" "$folder.part/pom.xml"
mv "$folder.part" "$folder"
echo '    fetched a schema registry'
