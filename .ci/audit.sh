#!/usr/bin/env bash
# Known weaknesses of the locked dependencies, where the service that knows them can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# an environment of its own: the auditor is no requirement of the program
python3 -m venv "$scratch/venv"
timeout 300 "$scratch/venv/bin/python" -m pip install -qq 'pip-audit==2.10.1'
timeout 300 "$scratch/venv/bin/pip-audit" --no-deps --disable-pip --requirement requirements.lock \
    --format json --output "$scratch/found.json" --progress-spinner off >"$scratch/log" 2>&1 || true

python3 - "$scratch/found.json" <<'PYTHON'
import json
import sys
from pathlib import Path

path = Path(sys.argv[1])
found = json.loads(path.read_text())["dependencies"] if path.is_file() else []
audited = [item for item in found if "vulns" in item]
if not audited:
    print("pip-audit: its service cannot be reached from here; nothing was audited")
for item in audited:
    for weakness in item["vulns"]:
        print(f"{item['name']} {item['version']}: {weakness['id']}, mended in {', '.join(weakness['fix_versions']) or 'no version'}")
print(f"pip-audit: {len(audited)} of {len(found)} dependencies audited")
sys.exit(any(item["vulns"] for item in audited))
PYTHON
