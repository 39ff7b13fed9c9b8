#!/usr/bin/env bash
# Fetch the two published heads and build the example dataset anew. Usage: rebuild.sh [FOLDER]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(dirname "$(dirname "$here")")
python=$project/.venv/bin/python
out=$(realpath -m "${1:-$(dirname "$here")}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# pip asks a source distribution for its metadata before it keeps the file; pycortex needs these to answer
python3 -m venv fetch
fetch/bin/pip --quiet install setuptools setuptools-scm wheel numpy cython
SETUPTOOLS_SCM_PRETEND_VERSION=1.4.0 fetch/bin/pip --quiet download --no-deps --no-build-isolation \
    --no-binary pycortex pycortex==1.4.0
tar xzf pycortex-1.4.0.tar.gz pycortex-1.4.0/filestore/db/S1/anatomicals/raw.nii.gz

apt-get download mricron-data
dpkg-deb --extract mricron-data_*.deb mricron

montages=$("$python" -c 'import mne, pathlib; print(pathlib.Path(mne.__file__).parent / "channels/data/montages")')
cp "$montages"/colin27_1005.elc montage.elc 2>/dev/null || cp "$montages"/standard_1005.elc montage.elc
mv pycortex-1.4.0/filestore/db/S1/anatomicals/raw.nii.gz s1.nii.gz
mv mricron/usr/share/mricron/templates/ch2.nii.gz ch2.nii.gz

sha256sum --check <<'SUMS'
1a480d10e8c07fbca58e069efce2a11d477e180beb43f88bdad825b750055a28  s1.nii.gz
a009051127f64dc3dd554d5f5b589870ea72106d9642c21b4e7093e478cfc309  ch2.nii.gz
1ee59197946d62de872db2ac7f2243a596662c231427366f6dc5d84ed237f853  montage.elc
SUMS

"$python" "$here/build.py" --s1-t1w s1.nii.gz --colin27-t1w ch2.nii.gz --colin27-montage montage.elc --out "$out"
