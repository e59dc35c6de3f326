#!/usr/bin/env bash
# Builds what Gristmill is measured beside on Kafka, into $PEERS; quick when nothing changed.
set -euo pipefail

peers=${PEERS:?folder for the peers}
for pom in tests/peers/*/pom.xml; do
    source=$(dirname "$pom")
    name=$(basename "$source")
    digest=$(find "$source" -type f | sort | xargs sha256sum | sha256sum)
    folder=$peers/$name
    if [[ $(cat "$folder/digest" 2>/dev/null) == "$digest" ]]; then
        continue
    fi
    rm -rf "$folder"
    mkdir -p "$folder"
    target=$(realpath "$folder")
    if ! log=$(mvn -B -q -f "$pom" -Dpeer.target="$target" package \
        dependency:copy-dependencies -DoutputDirectory="$target/lib" 2>&1); then
        printf '%s\n' "$log" >&2
        echo "peers: build $source" >&2
        exit 1
    fi
    mv "$target"/*.jar "$target/lib/"
    printf '%s\n' "$digest" >"$folder/digest"
    echo "    $source"
done
