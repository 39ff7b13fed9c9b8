#!/usr/bin/env bash
# The container tests with real components: what is absent is installed, and what cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/packages.sh containers

TMSPREP_REQUIRE_CONTAINERS=1 timeout 3600 .venv/bin/python -m pytest tests/containers "$@"
