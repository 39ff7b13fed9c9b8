"""The simulated dataset on disk: BIDS, and the truth as a derivative beside it."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tmsprep import __version__
from tmsprep.files import atomic, read_tsv, save_nifti, write_json, write_tsv
from tmsprep.simulate.participant import Participant, Run
from tmsprep.simulate.protocol import Protocol
from tmsprep.spaces import Grid, save_itk_affines

BIDS_VERSION = "1.10.0"
SCANNER_CODE = 1
PHASE_ENCODING = "j-"
TARGET_COLUMNS = (
    "target_x",
    "target_y",
    "target_z",
    "target_mni_x",
    "target_mni_y",
    "target_mni_z",
    "depth_mm",
)
_TRUTH_FILES = ("*_fiducials.tsv", "*_motion.tsv", "*_sources.tsv", "*_xfm.txt", "*_xfm.json", "targets.tsv", "targets.json")


@dataclass(frozen=True)
class Names:
    """The names of one participant's session and run."""

    participant: str
    session: str | None
    task: str

    @property
    def folder(self) -> Path:
        """``sub-01[/ses-1]``."""
        sub = Path(f"sub-{self.participant}")
        return sub / f"ses-{self.session}" if self.session else sub

    @property
    def stem(self) -> str:
        """``sub-01[_ses-1]``."""
        return "_".join(self.folder.parts)

    def bold(self, echo: int | None) -> Path:
        """Return the path of an echo's image within the dataset; no echo entity for a single-echo run."""
        entity = f"_echo-{echo}" if echo else ""
        return self.folder / "func" / f"{self.stem}_task-{self.task}{entity}_bold.nii.gz"

    def field_map(self, ending: str) -> Path:
        """Return the path of a field map's image; `ending` is ``phasediff``, ``dir-AP_epi``, ..."""
        return self.folder / "fmap" / f"{self.stem}_{ending}.nii.gz"

    def field_identifier(self) -> str:
        """Return what ties a run to its field map (``B0FieldIdentifier``)."""
        return f"b0{self.session or ''}"

    def t1w(self) -> Path:
        """Return the path of the T1w."""
        return self.folder / "anat" / f"{self.stem}_T1w.nii.gz"


def save_small(path: Path, data: NDArray[Any], grid: Grid, *, repetition_time_s: float | None = None) -> None:
    """Write a NIfTI image as small as gzip can, in 8 bits where the values allow; the same bytes for the same values."""
    narrow = data.astype(np.uint8) if data.min() >= 0 and data.max() <= 255 else data
    with atomic(path) as twin:
        plain = twin.with_name(twin.name.removesuffix(".gz"))
        try:
            save_nifti(plain, narrow, grid.affine_ras_mm, xform_code=SCANNER_CODE, repetition_time_s=repetition_time_s)
            twin.write_bytes(gzip.compress(plain.read_bytes(), 9, mtime=0))
        finally:
            plain.unlink(missing_ok=True)


def write_description(root: Path) -> None:
    """Write the dataset's description, README and participants' legend, where they do not exist yet."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "dataset_description.json").exists():
        generated = {"Name": "tmsprep simulate", "Version": __version__}
        content = {"Name": "Simulated multi-echo resting state", "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"}
        write_json(root / "dataset_description.json", {**content, "License": "n/a", "GeneratedBy": [generated]})
    if not (root / "README").exists() and not (root / "README.md").exists():
        (root / "README.md").write_text(_README, encoding="utf-8")
    if not (root / "participants.json").exists():
        write_json(root / "participants.json", {"site": {"Description": "Label of the (simulated) scanning site"}})


_README = """# Simulated multi-echo resting state

The T1-weighted images are the user's own. Every functional image was made by `tmsprep simulate`: no brain activity of any
person is in them. The truth that was put in is in `derivatives/truth`.
"""


def add_participant(root: Path, label: str, site: str) -> None:
    """Enter a participant into ``participants.tsv``."""
    row = {"participant_id": f"sub-{label}", "site": site}
    _upsert(root / "participants.tsv", row, ("participant_id", "site"))


def _upsert(path: Path, row: dict[str, Any], required: tuple[str, ...]) -> None:
    rows = [row]
    if path.exists():
        rows += [
            old for old in read_tsv(path, required).to_dict("records") if old["participant_id"] != row["participant_id"]
        ]
    table = pd.DataFrame(rows).sort_values("participant_id")
    with atomic(path) as twin:
        write_tsv(twin, table, decimals=3)


def write_t1w(root: Path, names: Names, source: Path) -> None:
    """Copy the T1w into the dataset, its bytes unchanged where it is compressed already."""
    with atomic(root / names.t1w()) as twin:
        if source.name.endswith(".gz"):
            shutil.copyfile(source, twin)
        else:
            twin.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))
    write_json(sidecar_of(root / names.t1w()), {"Modality": "MR"})


def write_run(root: Path, names: Names, run: Run) -> None:
    """Write the echoes of a run with their sidecars."""
    mapped = {} if run.scene.field is None else {"B0FieldSource": names.field_identifier()}
    for path, index, data in zip(echo_paths(root, names, run), range(len(run.echoes)), run.echoes, strict=True):
        save_small(path, data, run.grid, repetition_time_s=run.protocol.repetition_time_s)
        write_json(sidecar_of(path), run_sidecar(run.protocol, names.task, index) | mapped)


def echo_paths(root: Path, names: Names, run: Run) -> list[Path]:
    """Return the paths of a run's echoes."""
    count = len(run.echoes)
    return [root / names.bold(index + 1 if count > 1 else None) for index in range(count)]


def sidecar_of(path: Path) -> Path:
    """Return the sidecar's path of an image."""
    return path.with_name(path.name.replace(".nii.gz", ".json"))


def run_sidecar(protocol: Protocol, task: str, echo: int) -> dict[str, Any]:
    """Return what BIDS wants to know of an echo."""
    return {
        "TaskName": task,
        "RepetitionTime": protocol.repetition_time_s,
        "EchoTime": protocol.echo_times_s[echo],
        "SliceTiming": [float(time) for time in protocol.slice_times_s()],
        "PhaseEncodingDirection": PHASE_ENCODING,
        "TotalReadoutTime": protocol.readout_time_s,
        "EffectiveEchoSpacing": round(protocol.readout_time_s / (protocol.matrix[1] - 1), 9),
        "MagneticFieldStrength": 3,
        "Manufacturer": "none (simulated)",
        "PulseSequenceType": "simulated multi-echo gradient-echo EPI",
    }


def write_truth(root: Path, names: Names, person: Participant, run: Run, fiducials: Path | None) -> None:
    """Write what was put in: target, motion, transform between run and T1w, time courses, fiducials."""
    truth = root / "derivatives" / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    write_json(truth / "dataset_description.json", _TRUTH_DESCRIPTION)
    (truth / ".bidsignore").write_text("\n".join(_TRUTH_FILES) + "\n", encoding="ascii")
    spot = person.hot_spot
    values = [*spot.target_ras_mm, *spot.target_2009c_mm, spot.depth_mm]
    row = {"participant_id": f"sub-{person.label}"} | dict(zip(TARGET_COLUMNS, map(float, values), strict=True))
    _upsert(truth / "targets.tsv", row, ("participant_id",))
    write_json(truth / "targets.json", _TARGETS_LEGEND)
    _write_run_truth(truth, names, run)
    if fiducials is not None:
        target = truth / names.folder / "anat" / f"{names.stem}_desc-truth_fiducials.tsv"
        with atomic(target) as twin:
            shutil.copyfile(fiducials, twin)


def _write_run_truth(truth: Path, names: Names, run: Run) -> None:
    folder = truth / names.folder / "func"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{names.stem}_task-{names.task}"
    motion = run.scene.motion
    save_itk_affines(folder / f"{stem}_from-boldref_to-T1w_mode-image_desc-truth_xfm.txt", [run.scene.head_to_scanner])
    save_itk_affines(folder / f"{stem}_from-orig_to-boldref_mode-image_desc-truth_xfm.txt", motion.matrices_ras_mm())
    table = pd.DataFrame(motion.parameters, columns=pd.Index(["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]))
    table["framewise_displacement"] = motion.framewise_displacement_mm()
    write_tsv(folder / f"{stem}_desc-truth_motion.tsv", table)
    times = run.scene.motion.times_s
    columns = np.hstack([-run.scene.bold.at(times), run.scene.artefacts.at(times)])
    header = [f"bold: {name}" for name in run.scene.bold.names] + [f"s0: {name}" for name in run.scene.artefacts.names]
    write_tsv(
        folder / f"{stem}_desc-truth_sources.tsv", pd.DataFrame(columns.astype(float), columns=pd.Index(header)), decimals=4
    )


_TRUTH_DESCRIPTION: dict[str, Any] = {
    "Name": "Truth of the simulated participants",
    "BIDSVersion": BIDS_VERSION,
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "truth", "Version": __version__, "Description": "Written by tmsprep simulate"}],
    "SourceDatasets": [{"URL": "../.."}],
    "DatasetLinks": {"raw": "../.."},
}

_TARGETS_LEGEND: dict[str, Any] = {
    **{f"target_{axis}": {"Description": "Target, scanner RAS of the participant's T1w", "Units": "mm"} for axis in "xyz"},
    **{f"target_mni_{axis}": {"Description": "Target, MNI152NLin2009cAsym", "Units": "mm"} for axis in "xyz"},
    "depth_mm": {"Description": "Distance of the target to the scalp", "Units": "mm"},
}
