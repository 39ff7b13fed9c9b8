#!/usr/bin/env bash
# The example's provenance: verified, its crate checked by roc-validator, a target derived again.
set -euo pipefail
cd "$(dirname "$0")/.."
out=example_output
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

.venv/bin/tmsprep verify "$out"

# an environment of its own: the validator pins older libraries than the program
python3 -m venv "$scratch/validator"
"$scratch/validator/bin/python" -m pip install --quiet 'roc-validator==0.13.0' 'rocrate==0.16.0'
"$scratch/validator/bin/python" .ci/validate_crate.py "$out/tmsprep"

# a check that cannot fail checks nothing: without its steps the same crate must be refused
mkdir "$scratch/spoilt"
cp -r "$out/tmsprep/ro-crate-metadata.json" "$out/tmsprep/prov" "$scratch/spoilt"
sed -i 's/"step": \[/"stepp": [/' "$scratch/spoilt/ro-crate-metadata.json"
if "$scratch/validator/bin/python" .ci/validate_crate.py "$scratch/spoilt" >"$scratch/log"; then
    echo "the validator accepts a crate without steps" >&2
    exit 1
fi
grep -q "HowToStep" "$scratch/log"

.venv/bin/tmsprep replay "$out" --participant-label 02
