#!/usr/bin/env bash
# Fetches a server that the tests start, as tests/NAME/pom.xml names it, into a folder; quick when
# it is there. Usage: server.sh NAME FOLDER GOAL, where GOAL is copy or unpack.
set -euo pipefail

name=$1 folder=$2 goal=$3
pom=tests/$name/pom.xml
if cmp -s "$pom" "$folder/pom.xml"; then
    exit 0
fi
rm -rf "$folder" "$folder.part"
mkdir -p "$folder.part"
part=$(realpath "$folder.part")
if ! log=$(mvn -B -q -f "$pom" "dependency:$goal-dependencies" -DoutputDirectory="$part" \
    -DmarkersDirectory="$part/markers" 2>&1); then
    printf '%s\n' "$log" >&2
    echo "$name: fetch what $pom names" >&2
    exit 1
fi
cp "$pom" "$folder.part/pom.xml"
mv "$folder.part" "$folder"
echo "    fetched $(find "$folder" -name '*.jar' | wc -l) jars"
