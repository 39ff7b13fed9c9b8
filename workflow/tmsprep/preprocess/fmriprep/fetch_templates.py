"""Fill a TemplateFlow home: run by fMRIPrep's own Python, where there is internet.

``python fetch_templates.py [surfaces]``. Takes what the image holds already, lets the TemplateFlow client fetch the rest,
and prints one line of JSON: the files (relative to the home) that fMRIPrep will ask for with our options.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

QUERIES = [
    # normalisation, brain masks, and the references of BOLD enhancement and of the carpet plot
    ("MNI152NLin2009cAsym", {"resolution": [1, 2], "desc": None, "suffix": ["T1w", "T2w"]}),
    ("MNI152NLin2009cAsym", {"resolution": [1, 2], "desc": "brain", "suffix": "mask"}),
    ("MNI152NLin2009cAsym", {"resolution": 2, "desc": "fMRIPrep", "suffix": "boldref"}),
    ("MNI152NLin2009cAsym", {"resolution": 1, "atlas": None, "desc": "carpet", "suffix": "dseg"}),
    ("MNI152NLin2009cAsym", {"resolution": 1, "label": "brain", "suffix": "probseg"}),
    ("MNI152NLin6Asym", {"resolution": [1, 2], "desc": None, "suffix": "T1w"}),
    ("MNI152NLin6Asym", {"resolution": [1, 2], "desc": "brain", "suffix": "mask"}),
    # brain extraction
    ("OASIS30ANTs", {"resolution": 1, "desc": None, "label": None, "suffix": "T1w"}),
    ("OASIS30ANTs", {"resolution": 1, "label": ["WM", "BS", "brain"], "suffix": "probseg"}),
    ("OASIS30ANTs", {"resolution": 1, "desc": "BrainCerebellumExtraction", "suffix": "mask"}),
]
SURFACE_QUERIES = [  # surfaces are matched to atlases that smriprep brings along; this names their labels
    ("fsaverage", {"hemi": None, "atlas": None, "segmentation": "aparc", "suffix": "dseg", "extension": [".tsv"]}),
]


def main() -> None:
    """Fill ``TEMPLATEFLOW_HOME``."""
    home = Path(os.environ["TEMPLATEFLOW_HOME"])
    take_over(home)
    # imported here: the client reads TEMPLATEFLOW_HOME when it is imported
    from templateflow import conf  # pyright: ignore[reportMissingImports]

    conf.update(local=True, overwrite=False)  # the index of all templates, which the client brings along
    from templateflow import api  # pyright: ignore[reportMissingImports]

    queries = QUERIES + (SURFACE_QUERIES if "surfaces" in sys.argv[1:] else [])
    files = sorted({str(path.relative_to(home)) for template, query in queries for path in found(api, template, query)})
    print(json.dumps({"TemplateFlowFiles": files}))


def take_over(home: Path) -> None:
    """Copy the templates that come with the image."""
    for user_home in ("/home/fmriprep", os.environ.get("HOME", "/")):
        own = Path(user_home) / ".cache" / "templateflow"
        if not own.is_dir() or own.resolve() == home.resolve():
            continue
        for source in own.rglob("*"):
            target = home / source.relative_to(own)
            if source.is_file() and source.stat().st_size and not (target.exists() and target.stat().st_size):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target.with_name(target.name + ".part"))
                target.with_name(target.name + ".part").replace(target)


def found(api: Any, template: str, query: dict[str, Any]) -> list[Path]:
    """Return the files of one query, fetched; none found, or an empty one, is an error."""
    given = api.get(template, raise_empty=True, **query)
    paths = [Path(path) for path in (given if isinstance(given, list) else [given])]
    if empty := [str(path) for path in paths if not path.stat().st_size]:
        sys.exit(f"TemplateFlow gave empty files: {', '.join(empty)}")
    return paths


if __name__ == "__main__":
    main()
