#!/usr/bin/env bash
# The pages in a real browser: what is absent is installed, and what cannot be installed is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/packages.sh browser

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# beside the program's environment, not in it: the driver and its like are no requirements of the program
timeout 300 .venv/bin/python -m pip install --quiet --no-deps --target "$scratch/python" \
    'playwright==1.65.2' 'greenlet==3.5.6' 'pypdfium2==5.15.2'
(cd "$scratch" && timeout 300 npm pack --silent 'axe-core@4.14.1' >/dev/null)
tar -xzf "$scratch/axe-core-4.14.1.tgz" -C "$scratch" package/axe.min.js

TMSPREP_REQUIRE_BROWSER=1 TMSPREP_AXE="$scratch/package/axe.min.js" PYTHONPATH="$scratch/python" \
    timeout 600 .venv/bin/python -m pytest tests/browser "$@"
