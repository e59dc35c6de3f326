#!/usr/bin/env bash
# Fetches Apache Kafka, as jars, into $KAFKA_LIBS; quick when they are there. The tests start it.
set -euo pipefail

libs=${KAFKA_LIBS:?folder for the jars}
pom=tests/kafka/pom.xml
if cmp -s "$pom" "$libs/pom.xml"; then
    exit 0
fi
rm -rf "$libs" "$libs.part"
mkdir -p "$libs.part"
if ! log=$(mvn -B -q -f "$pom" dependency:copy-dependencies \
    -DoutputDirectory="$(realpath "$libs.part")" 2>&1); then
    printf '%s\n' "$log" >&2
    echo 'kafka: fetch the jars that tests/kafka/pom.xml names' >&2
    exit 1
fi
cp "$pom" "$libs.part/pom.xml"
mv "$libs.part" "$libs"
echo "    fetched $(find "$libs" -name '*.jar' | wc -l) jars"
