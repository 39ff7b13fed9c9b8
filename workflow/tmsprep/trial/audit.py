"""Whether anything in a folder of packages tells how a target was found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tmsprep.trial.package import FIXED_TIME_S, SIZE_STEP

_WORDS = (
    "circuit", "beam", "f3", "f4", "fc3", "10-20", "10-10", "eeg", "electrode", "connectiv", "sgacc", "cingulate", "seed",
    "network", "group", "score", "percentile", "correlat", "reliab", "bootstrap", "radius", "caution", "abstain", "status",
    "depth_mm", "peeling", "mni", "tape", "nasion", "inion", "vertex", "fmri", "bold", "rest", "sham", "active", "control",
    "arm", "method",
)  # fmt: skip
"""Parts of words that name a method, a result's statistics, or an arm."""
_ALLOWED = re.compile(r"\b(aim point|alarm|harm|pharma\w*|controlPoints)\b", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_HASH = re.compile(r"\b[0-9a-f]{32,64}\b")
_TEXT_SUFFIXES = (".txt", ".xml", ".json", ".tsv", ".pdf")
_AFFINE = re.compile(r"\[\[[-\d., \[\]]*\]\]")
_PDF_STRING = re.compile(r"\(((?:\\.|[^()\\])*)\) ?Tj")
_FILLING = re.compile(r"[#%] ?\.{2,}| {2,}$", re.MULTILINE)


def audit(folder: Path) -> list[str]:
    """Return what in the packages of a folder could tell the arms apart; empty if nothing was found.

    Checked: names of files; words; the form of every text with its numbers and checksums masked; counts of digits; sizes,
    times and permissions. The place of the target itself, and a stop in place of a target, are what a package is for.

    Parameters
    ----------
    folder
        With one folder a participant.
    """
    packages = sorted(path for path in folder.iterdir() if path.is_dir())
    given = [package for package in packages if not list(package.glob("*_stop.pdf"))]
    problems = [f"{path.name}: lies beside the packages" for path in folder.iterdir() if not path.is_dir()]
    for package in packages:
        problems += [f"{package.name}/{what}" for what in _package_problems(package)]
    for what, view in (("names", _names), ("sizes", _sizes), ("texts", _forms)):
        forms = {package.name: view(package) for package in given}
        if len(set(forms.values())) > 1:
            odd = _odd_ones(forms)
            problems.append(f"{what} of files are not the same in all packages: {', '.join(odd)}")
    return problems


def _odd_ones(forms: dict[str, str]) -> list[str]:
    counts = list(forms.values())
    usual = max(set(counts), key=counts.count)
    return [name for name, form in forms.items() if form != usual]


def _package_problems(package: Path) -> Iterator[str]:
    for path in sorted(package.iterdir()):
        stat = path.stat()
        if int(stat.st_mtime) != FIXED_TIME_S:
            yield f"{path.name}: its date tells when it was written"
        if stat.st_size % SIZE_STEP:
            yield f"{path.name}: its size is not filled up"
        if path.suffix not in _TEXT_SUFFIXES:
            yield f"{path.name}: a kind of file that is not expected"
            continue
        text = _ALLOWED.sub("", _shown(path).replace(package.name, "LABEL"))
        for word in _WORDS:
            if found := re.search(rf"(?<![a-z0-9]){re.escape(word)}", text, re.IGNORECASE):
                yield f"{path.name}: the word {found.group()!r}"


def _read(path: Path) -> str:
    """Return the text of a file; of a PDF, its uncompressed streams."""
    return _FILLING.sub("", path.read_bytes().decode("latin-1"))


def _shown(path: Path) -> str:
    """Return what a reader can see: of a PDF the strings on the page, of other files all of it."""
    text = _read(path)
    return "\n".join(_PDF_STRING.findall(text)) if path.suffix == ".pdf" else text


def _names(package: Path) -> str:
    return " ".join(sorted(path.name.replace(package.name, "LABEL") for path in package.iterdir()))


def _sizes(package: Path) -> str:
    parts = [
        (path.name.replace(package.name, "LABEL"), path.stat().st_size, path.stat().st_mode & 0o777)
        for path in package.iterdir()
    ]
    return str(sorted(parts))


def _forms(package: Path) -> str:
    """Return all texts with label, checksums, names of images and numbers masked: numbers keep their count of decimals."""
    texts: list[str] = []
    for path in sorted(package.iterdir()):
        text = _HASH.sub("HASH", _read(path).replace(package.name, "LABEL"))
        text = re.sub(r"sub-[0-9A-Za-z+]+(_[a-z]+-[0-9A-Za-z+]+)*", "LABEL", text)
        if path.suffix == ".pdf":  # the table of positions and lengths counts bytes
            text = re.sub(r"(?s)xref.*", "", re.sub(r"/Length \d+", "/Length", text))
        # JSON drops zeros at the end of a number, whatever it is of; the image's own geometry is no result
        plain = path.suffix == ".json"
        texts.append(_NUMBER.sub("<n>" if plain else _mask, _AFFINE.sub("AFFINE", text)))
    return "\n".join(texts)


def _mask(number: re.Match[str]) -> str:
    decimals = len(number.group().partition(".")[2])
    return f"<{decimals}>"
