"""The contract between preprocessing and everything after it: which files, under which names.

The names are fMRIPrep 25.2's. This is the only list of them. ``{anat}`` is the T1w's ``sub-01[_ses-1]``, ``{run}`` a run's
entities, ``{bold}`` the same with ``_echo-N`` where the run has echoes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tmsprep.inputs.model import Echo, Run, Unit

TEMPLATE = "MNI152NLin2009cAsym"
"""The standard space of the contract."""


@dataclass(frozen=True)
class Item:
    """One file of the contract."""

    name: str
    """Folder and file name below the participant's (or session's) folder."""
    option: str
    """The fMRIPrep option that writes it, in words."""

    @property
    def written(self) -> str:
        """When fMRIPrep writes it, as the end of a sentence."""
        return self.option if self.option == "always written" else f"written with {self.option}"


class Anatomy(Enum):
    """One of each a T1w."""

    T1W = Item("anat/{anat}_desc-preproc_T1w.nii.gz", "always written")
    BRAIN_MASK = Item("anat/{anat}_desc-brain_mask.nii.gz", "always written")
    DSEG = Item("anat/{anat}_dseg.nii.gz", "always written")
    GM = Item("anat/{anat}_label-GM_probseg.nii.gz", "always written")
    WM = Item("anat/{anat}_label-WM_probseg.nii.gz", "always written")
    CSF = Item("anat/{anat}_label-CSF_probseg.nii.gz", "always written")
    T1W_TO_MNI = Item(f"anat/{{anat}}_from-T1w_to-{TEMPLATE}_mode-image_xfm.h5", f"--output-spaces {TEMPLATE}")
    MNI_TO_T1W = Item(f"anat/{{anat}}_from-{TEMPLATE}_to-T1w_mode-image_xfm.h5", f"--output-spaces {TEMPLATE}")


NLIN6_TO_T1W = Item("anat/{anat}_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.h5", "--output-spaces MNI152NLin6Asym")
"""Not needed; preferred where it exists, because circuits and search masks lie in that space."""


class Functional(Enum):
    """One of each a run."""

    BRAIN_MASK = Item("func/{run}_desc-brain_mask.nii.gz", "always written")
    BOLDREF = Item("func/{run}_desc-coreg_boldref.nii.gz", "always written")
    BOLDREF_TO_T1W = Item("func/{run}_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt", "always written")
    CONFOUNDS = Item("func/{run}_desc-confounds_timeseries.tsv", "always written")


BOLD = Item("func/{bold}_desc-preproc_bold.nii.gz", "--me-output-echos (multi-echo) or --output-spaces func")
"""One an echo, or one a single-echo run: native BOLD grid, slice-timed, realigned, distortion-corrected."""


def path(root: Path, folder: str, item: Item | Anatomy | Functional) -> str:
    """Return the pattern of a contract file, with the wildcards that its name holds.

    Parameters
    ----------
    root
        The preprocessed dataset.
    folder
        The participant's folder (``sub-01`` or ``sub-01/ses-1``), or a wildcard for it.
    item
        Which file.
    """
    entry = item if isinstance(item, Item) else item.value
    return f"{root.as_posix()}/{folder}/{entry.name}"


def folder_of_stem(stem: str) -> str:
    """Return the folder of a stem ``sub-01[_ses-1][_...]``."""
    return "/".join(part for part in stem.split("_") if part.startswith(("sub-", "ses-")))


def anat_stem(unit: Unit) -> str:
    """Return ``sub-01[_ses-1]`` as the T1w itself is named."""
    parts = unit.t1w.name.split("_")
    return "_".join(part for part in parts if part.startswith(("sub-", "ses-")))


def bold_stem(run: Run, echo: Echo) -> str:
    """Return the run's stem, with its echo where the file names one and the run keeps several."""
    label = next((part for part in echo.path.name.split("_") if part.startswith("echo-")), None)
    return f"{run.stem}_{label}" if label and len(run.echoes) > 1 else run.stem
