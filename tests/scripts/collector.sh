#!/usr/bin/env bash
# Builds the OpenTelemetry Collector that the tests start, from tests/collector, into a folder;
# quick when nothing changed. Usage: collector.sh FOLDER
set -euo pipefail

folder=$1
source=tests/collector
digest=$(find "$source" -type f | sort | xargs sha256sum | sha256sum)
if [[ -x $folder/collector && $(cat "$folder/digest" 2>/dev/null) == "$digest" ]]; then
    exit 0
fi
rm -rf "$folder"
mkdir -p "$folder"
target=$(realpath "$folder")
# A Go older than go.mod asks for fetches the one it asks for, from 1.21 on.
export PATH=$PATH:/usr/local/go/bin
export GOTOOLCHAIN=${GOTOOLCHAIN:-auto} GOFLAGS=-mod=readonly CGO_ENABLED=0
if ! log=$(cd "$source" && go build -trimpath -buildvcs=false -ldflags '-s -w' \
    -o "$target/collector" . 2>&1); then
    printf '%s\n' "$log" >&2
    echo "collector: build $source, by Go 1.21 or newer, where its modules can be fetched" >&2
    exit 1
fi
printf '%s\n' "$digest" >"$folder/digest"
echo "    built $source"
