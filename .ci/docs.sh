#!/usr/bin/env bash
# The documentation site, built in an environment of its own: without a warning, and no page asks another host for anything.
# .ci/docs.sh [FOLDER]: keep the site in FOLDER, which must not exist.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${1:-}" ] && [ -e "$1" ]; then
    echo "$1 is there already" >&2
    exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

python3 -m venv "$scratch/env"
bin=$scratch/env/bin
# --no-deps and pip check: the list names everything that it needs
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement docs/requirements.txt
"$bin/python" -m pip check --disable-pip-version-check

# the theme's notice about its own future is no warning about this site
NO_MKDOCS_2_WARNING=1 "$bin/mkdocs" build --strict --site-dir "$scratch/site" 2>&1 | tee "$scratch/log"
if grep -qE '^(WARNING|ERROR)' "$scratch/log"; then
    echo "the build warns" >&2
    exit 1
fi

# what a browser fetches when it shows a page; links that a reader may choose are not meant
cat >"$scratch/check.py" <<'PYTHON'
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

ELSEWHERE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
FETCHED = {"src", "srcset", "data", "poster", "xlink:href"}
NOT_FETCHED = {"canonical", "alternate", "prev", "next", "author", "license"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.inside = None
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        self.inside = tag
        fetched = [value for name, value in values.items() if name in FETCHED]
        if tag == "link" and not NOT_FETCHED & set(values.get("rel", "").split()):
            fetched.append(values.get("href", ""))
        if tag in {"image", "use"}:
            fetched.append(values.get("href", ""))
        self.found += [value for value in fetched if ELSEWHERE.match(value)]
        self.found += IN_STYLE.findall(values.get("style", ""))

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "style":
            self.found += IN_STYLE.findall(data)
        if self.inside == "script":
            self.found += re.findall(r"https?://[^\s\"'\\]+", data)


site = Path(sys.argv[1])
pages = sorted([*site.rglob("*.html"), *site.rglob("*.svg")])
styles = sorted(site.rglob("*.css"))
problems = []
for path in pages:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    problems += [f"{path.relative_to(site)}: {value}" for value in page.found]
for path in styles:
    problems += [f"{path.relative_to(site)}: {value}" for value in IN_STYLE.findall(path.read_text(encoding="utf-8"))]
if problems or not pages or not styles:
    sys.exit("asked of another host:\n" + "\n".join(problems))
print(f"{len(pages)} pages and pictures, {len(styles)} style sheets: nothing is asked of another host")
PYTHON
"$bin/python" "$scratch/check.py" "$scratch/site"

# a check that cannot fail checks nothing: each of these must be found
for line in '<script src="https://example.org/a.js"></script>' '<link rel="stylesheet" href="//example.org/a.css">' \
    '<img src="http://example.org/a.png">' '<style>@import url(https://example.org/font.css);</style>'; do
    mkdir "$scratch/spoilt"
    cp "$scratch/site"/assets/stylesheets/*.css "$scratch/spoilt"
    echo "<html><head>$line</head><body></body></html>" >"$scratch/spoilt/index.html"
    if "$bin/python" "$scratch/check.py" "$scratch/spoilt" 2>"$scratch/found" || ! grep -q example.org "$scratch/found"; then
        echo "not found by the check: $line" >&2
        exit 1
    fi
    rm -r "$scratch/spoilt"
done

if [ -n "${1:-}" ]; then
    cp -r "$scratch/site" "$1"
    echo "the site is in $1"
fi
