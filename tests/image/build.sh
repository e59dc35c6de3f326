#!/usr/bin/env bash
# Builds the container image as production does: the binary inside the build stage, on pulled bases.
# Needs docker, podman or buildah, and the network.
set -euo pipefail

cd "$(dirname "$0")/../.."
for engine in docker podman buildah; do
    if command -v "$engine" >/dev/null; then
        exec "$engine" build -f deploy/Dockerfile -t gristmill "$@" .
    fi
done
echo 'image-build: install docker, podman or buildah' >&2
exit 1
