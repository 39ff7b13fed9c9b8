#!/usr/bin/env bash
# The container tests with real components: what is absent is installed, and what cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(podman podman-docker buildah runc uidmap debootstrap charliecloud-runtime charliecloud-common squashfs-tools)

if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    timeout 300 apt-get update -q
    timeout 600 apt-get install -q -y --no-install-recommends "${packages[@]}"
fi

TMSPREP_REQUIRE_CONTAINERS=1 timeout 3600 .venv/bin/python -m pytest tests/containers "$@"
