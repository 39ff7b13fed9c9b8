"""The page of one participant: where the sites are, how sure, what the scan was like, what was done.

One HTML file with everything inside. It is the same, byte for byte, for the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from tmsprep import __version__
from tmsprep.errors import InputError
from tmsprep.files import load_nifti, read_json, sha256
from tmsprep.records import Fiducial, Point, Status, load_fiducials
from tmsprep.report import cleaning, facts, methods, pictures, plots
from tmsprep.report.cloud import cloud_plot
from tmsprep.report.facts import Components, Run, Sites
from tmsprep.report.head import Scene, static_picture
from tmsprep.report.page import Table, comparison_table, in_script, number, plain, point, render, script
from tmsprep.report.pictures import Layers, Outlines, Picture, Sign
from tmsprep.report.sides import methods_table, pose_table
from tmsprep.report.slices import Volume
from tmsprep.report.verdict import verdict
from tmsprep.report.viewer import library, make_viewer
from tmsprep.spaces import Grid, Transform
from tmsprep.stages import InFile, OutFile, SidecarFields
from tmsprep.surfaces import Surface

_SUMMARY_TOLERANCE_MINUTES = 0.1
_FORM_NAMES = {0: "unknown", 1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI152", 5: "other template"}


def write_participant_report(
    *,
    participant: str,
    t1w: InFile,
    brain_mask: InFile,
    scores: InFile,
    target: InFile,
    beamf3: InFile,
    fiducials: InFile,
    markers: InFile,
    scalp_picture: InFile,
    confounds: list[InFile],
    denoise_summary: list[InFile],
    tedana_summary: list[InFile] | None = None,
    tedana_metrics: list[InFile] | None = None,
    boldref: list[InFile],
    boldref_to_t1w: list[InFile],
    plan: InFile,
    out_html: OutFile,
    regressors: list[InFile] | None = None,
    wm: InFile | None = None,
    navigators: InFile | None = None,
    scalp: InFile | None = None,
    cloud: InFile | None = None,
    carpet: list[InFile] | None = None,
    tsnr_steps: list[InFile] | None = None,
) -> SidecarFields:
    """Write the participant's page.

    Parameters
    ----------
    participant
        How the page calls the participant, e.g. ``sub-01``.
    t1w
        The T1w image in whose scanner RAS mm all points are.
    brain_mask
        Its brain mask.
    scores
        The score map of the target stage; 0 where there is none.
    target
        Result of the target stage (JSON).
    beamf3
        Result of the Beam F3 stage (JSON).
    fiducials
        The scalp landmarks (TSV).
    markers
        The markers made of these results (TSV).
    scalp_picture
        The scalp stage's picture (PNG).
    confounds
        Confounds of each run (TSV).
    denoise_summary
        Summary of each run's denoising (JSON), in the same order.
    tedana_summary
        Summary of tedana for each multi-echo run (JSON).
    tedana_metrics
        Its table of components (TSV), in the same order.
    boldref
        Reference image of each run, after coregistration.
    boldref_to_t1w
        ``from-boldref_to-T1w`` of each run, in the same order.
    plan
        What the dataset holds and what became of it (TSV).
    out_html
        The page.
    regressors
        Design of each run with the column ``kept`` (TSV); without it, censored volumes are found from FD.
    wm
        White-matter probability in T1w space, for the outline; without it, the T1w image's own brightness is used.
    navigators
        Index of the files for neuronavigators (JSON).
    scalp
        The head's surface in scanner RAS mm (GIFTI), for the head that can be turned; without it there is none.
    cloud
        Targets of resampled data in scanner RAS mm, and their shares (TSV).
    carpet
        Picture of each run before and after cleaning (PNG).
    tsnr_steps
        Temporal signal-to-noise ratio of each run after each step (TSV), in the same order.

    Raises
    ------
    InputError
        A file cannot be read, or files contradict each other.
    """
    sites = facts.load_sites(target, beamf3, markers)
    runs = facts.load_runs(confounds, denoise_summary, regressors)
    components = facts.load_components(tedana_summary, tedana_metrics)
    facts.require_pairs(boldref, boldref_to_t1w)
    anatomy = Anatomy.load(t1w, brain_mask)
    anatomy.require_inside(sites)
    contents = [read_json(path) for path in (target, beamf3, *denoise_summary, *(tedana_summary or ()))]
    landmarks = load_fiducials(fiducials)
    shown_scores = _shown_scores(Volume.load(scores), sites)
    layers = Layers.of(anatomy.t1w, anatomy.mask, shown_scores, _points(sites))
    signs = _signs(sites)
    scene = Scene.of(Surface.load(scalp), sites, cloud) if scalp else None
    html = render(
        "participant.html.j2",
        [*([library(), script("slices.js")] if signs else []), *([script("head.js")] if scene else [])],
        participant=participant,
        verdict=verdict(sites, [*anatomy.remarks(sites), *sites.target_reasons]),
        head=HeadView.of(scene) if scene else None,
        viewer=make_viewer(layers, signs) if signs else None,
        cloud=cloud_plot(cloud, sites),
        cleaning=cleaning.load(carpet, tsnr_steps),
        coverage=_coverage(sites),
        commands=facts.recorded_commands(contents),
        tedana_files=facts.tedana_files(tedana_metrics or (), components),
        version=__version__,
        sites=sites,
        remarks=anatomy.remarks(sites),
        runs=[RunView.of(run, index) for index, run in enumerate(runs)],
        quality=comparison_table([run.label for run in runs], [_quality(run) for run in runs]),
        minutes_note=_minutes_note(sites, runs),
        components=[ComponentsView.of(item, index) for index, item in enumerate(components)],
        rows=_slice_rows(layers, sites),
        layers=layers,
        colours=pictures.colour_stops(),
        candidates=_candidate_table(sites),
        methods_table=methods_table(sites),
        pose=pose_table(sites),
        measures=facts.other_values(sites.target.measures),
        fiducials=_fiducial_table(landmarks),
        navigators=_navigator_table(navigators),
        navigator_notes=_navigator_notes(navigators),
        fiducials_to_check=any(item.status is not Status.OK for item in landmarks.values()),
        scalp=pictures.scalp_picture(scalp_picture) if sites.beamf3_scalp_ras_mm else None,
        registrations=_registrations(anatomy, wm, boldref, boldref_to_t1w, sites),
        white_matter_given=wm is not None,
        plan=facts.load_plan(plan, participant),
        methods=methods.describe(sites, runs, components, facts.recorded_versions(contents)),
        image=ImageIdentity.of(t1w),
    )
    out_html.write_text(html, encoding="utf-8", newline="\n")
    return {}


@dataclass(frozen=True)
class Anatomy:
    """The T1w image and its brain mask."""

    t1w: Volume
    mask: Volume

    @classmethod
    def load(cls, t1w: Path, mask: Path) -> Anatomy:
        """Read both."""
        return cls(Volume.load(t1w), Volume.load(mask))

    def require_inside(self, sites: Sites) -> None:
        """Check that every site shown lies in the T1w image.

        Raises
        ------
        InputError
            One does not: the points are of another image or frame.
        """
        for name, place in (("target", sites.target_ras_mm), ("Beam F3 point", sites.beamf3_cortex_ras_mm)):
            if place is not None and not self.t1w.grid.contains(place):
                raise InputError(
                    f"the {name} ({point(place)} mm) lies outside the T1w image",
                    expected="points in scanner RAS mm of this T1w image",
                    action="run the later stages of this participant again; these files are of different images",
                )

    def remarks(self, sites: Sites) -> list[str]:
        """Return what a reader must know about where the target lies."""
        place = sites.target_ras_mm
        if place is None:
            return []
        found: list[str] = []
        if float(self.mask.sample(_row(place), order=0)[0]) < 0.5:
            found.append("The target lies outside the brain mask.")
        if sites.target.candidates[0].target_mni_mm[0] >= 0:
            found.append("The target is not in the left hemisphere (its MNI x is not negative).")
        return found


def _row(place: Point) -> NDArray[np.float64]:
    return np.asarray([place], dtype=np.float64)


@dataclass(frozen=True)
class HeadView:
    """The head for the page: a picture, what the script reads, and views to choose from."""

    picture: Picture
    json: str
    views: tuple[tuple[str, str], ...]
    """What a button says, and azimuth and elevation in degrees."""

    @classmethod
    def of(cls, scene: Scene) -> HeadView:
        """Draw it."""
        first = scene.first_view
        sides = (("From the front", "0 0"), ("From the left", "-90 0"), ("From above", "180 90"), ("From behind", "180 0"))
        facing = [(f"Facing {spot.letter}", f"{first.azimuth_deg:g} {first.elevation_deg:g}") for spot in scene.spots[-1:]]
        return cls(static_picture(scene), in_script(scene.as_json()), (*facing, *sides))


def _coverage(sites: Sites) -> list[facts.Pair]:
    """Return how much of the regions that matter has signal, in per cent; nothing that was not measured."""
    names = ("coverage_search_mask", "coverage_sgacc", "coverage_seeds")
    found = [(name, facts.number(sites.target.measures.get(name))) for name in names]
    return [facts.Pair(name, f"{100 * value:.0f} %") for name, value in found if value is not None]


@dataclass(frozen=True)
class RunView:
    """A run and its plot."""

    run: Run
    plot: str
    note: str

    @classmethod
    def of(cls, run: Run, index: int) -> RunView:
        """Draw the plot; say how censored volumes were found."""
        plot = plots.motion_plot(run.fd_mm, run.dvars, run.dvars_name, run.kept, run.threshold_mm, name=f"motion{index}")
        return cls(run, plot, _censoring_note(run))


def _censoring_note(run: Run) -> str:
    if run.kept is None:
        return "Which volumes were left out is not recorded in the files given."
    shown = int((~run.kept).sum())
    note = f"Shaded and ticked: {shown} volumes left out, {run.kept_source}."
    if run.kept_volumes is not None and int(run.kept.sum()) != int(run.kept_volumes):
        note += f" The run's summary counts {int(run.kept_volumes)} volumes as kept, this picture {int(run.kept.sum())}."
    return note


@dataclass(frozen=True)
class ComponentsView:
    """tedana's components of a run and their plot; the plot is empty where tedana could not split the run."""

    components: Components
    plot: str
    numbers: list[facts.Pair]

    @classmethod
    def of(cls, components: Components, index: int) -> ComponentsView:
        """Draw the plot."""
        item = components
        name = f"components{index}"
        plot = plots.components_plot(item.kappa, item.rho, item.variance, item.accepted, name) if item.kappa.size else ""
        known = ("Accepted", "Rejected", "Rung", "Warnings")
        return cls(item, plot, facts.other_values(item.summary, known))


@dataclass(frozen=True)
class SliceRow:
    """Three slices through one site."""

    title: str
    pictures: list[Picture]


def _points(sites: Sites) -> list[Point]:
    places = (sites.target_ras_mm, sites.entry_ras_mm, sites.beamf3_scalp_ras_mm, sites.beamf3_cortex_ras_mm)
    return [place for place in places if place is not None]


def _shown_scores(scores: Volume, sites: Sites) -> Volume:
    """Return the scores, or none of them where the program abstained: nobody shall read a target off them."""
    shown = scores.data if sites.target_status is not Status.ABSTAIN else np.zeros_like(scores.data)
    return Volume(shown, scores.affine_ras_mm)


def _signs(sites: Sites) -> list[Sign]:
    signs: list[Sign] = []
    if sites.target_ras_mm is not None:
        signs.append(Sign("T", "o", "#ffffff", sites.target_ras_mm, sites.entry_ras_mm))
    if (cortex := sites.beamf3_cortex_ras_mm) is not None:
        signs.append(Sign("B", "D", "#8cff66", cortex, sites.beamf3_scalp_ras_mm))
    elif sites.beamf3_scalp_ras_mm is not None:
        signs.append(Sign("B", "D", "#8cff66", sites.beamf3_scalp_ras_mm))
    return signs


def _slice_rows(layers: Layers, sites: Sites) -> list[SliceRow]:
    signs, rows = _signs(sites), []
    if sites.target_ras_mm is not None:
        drawn = pictures.target_slices(layers, sites.target_ras_mm, signs, "the circuit target")
        rows.append(SliceRow("Slices through the circuit target (T)", drawn))
    beam = sites.beamf3_cortex_ras_mm or sites.beamf3_scalp_ras_mm
    if beam is not None:
        drawn = pictures.target_slices(layers, beam, signs, "the Beam F3 point")
        where = "cortex under the Beam F3 point" if sites.beamf3_cortex_ras_mm else "Beam F3 point on the scalp"
        rows.append(SliceRow(f"Slices through the {where} (B)", drawn))
    return rows


def _candidate_table(sites: Sites) -> Table:
    head = (
        "Rank", "Scanner RAS (mm): x, y, z", "MNI152NLin2009cAsym (mm): x, y, z", "Mean score", "Peak score",
        "Cluster (mm³)", "Depth below the scalp (mm)", "Coil to cortex (mm)", "Status",
    )  # fmt: skip
    if sites.target_status is Status.ABSTAIN:
        return Table(head, ())
    rows: list[tuple[str, ...]] = []
    for rank, item in enumerate(sites.target.candidates, 1):
        marker = sites.marker_at(item.target_ras_mm)
        rows.append(
            (
                str(rank),
                point(item.target_ras_mm),
                point(item.target_mni_mm),
                number(item.score, 3),
                number(item.peak_score, 3),
                number(item.cluster_volume_mm3, 0),
                number(item.depth_mm),
                number(marker.depth_mm if marker else None),
                plain(marker.status.value if marker else None),
            )
        )
    return Table(head, tuple(rows))


def _navigator_table(path: Path | None) -> Table:
    head = ("File", "Opens in")
    files: dict[str, str] = {} if path is None else read_json(path)["Files"]
    return Table(head, tuple(files.items()))


def _navigator_notes(path: Path | None) -> list[str]:
    """Say for which site there is no file, and why."""
    states: dict[str, dict[str, str]] = {} if path is None else read_json(path)["Sites"]
    return [
        f"No navigator file for {name}: {state['Reasons']}"
        for name, state in states.items()
        if state["Status"] == Status.ABSTAIN.value
    ]


def _fiducial_table(landmarks: dict[str, Fiducial]) -> Table:
    names = {"NAS": "Nasion", "INI": "Inion", "LPA": "Left ear point", "RPA": "Right ear point"}
    head = ("Landmark", "Scanner RAS (mm): x, y, z", "Found", "Moved to the scalp by (mm)", "Status")
    rows = [
        (
            f"{names.get(name, name)} ({name})",
            point(item.position_ras_mm),
            item.source,
            number(item.snapped_mm),
            item.status.value,
        )
        for name, item in landmarks.items()
    ]
    return Table(head, tuple(rows))


def _quality(run: Run) -> list[facts.Pair]:
    known = ["Warnings", *(["MeanFD"] if "MeanFD_mm" in run.summary else [])]
    return facts.other_values(run.summary, known)


def _minutes_note(sites: Sites, runs: Sequence[Run]) -> str:
    minutes = [run.clean_minutes for run in runs]
    known = [value for value in minutes if value is not None]
    if len(known) < len(minutes) or not known:
        return ""
    if abs(sum(known) - sites.target.clean_minutes) <= _SUMMARY_TOLERANCE_MINUTES:
        return ""
    told = number(sites.target.clean_minutes)
    return f"The runs add up to {number(sum(known))} clean minutes; the target stage counts {told}."


@dataclass(frozen=True)
class Registration:
    """How well a run fits the T1w image."""

    label: str
    pictures: list[Picture]
    anatomy: list[Picture]
    """The T1w image on the same slices, under the same lines."""


def _registrations(
    anatomy: Anatomy, wm: Path | None, boldref: Sequence[Path], transforms: Sequence[Path], sites: Sites
) -> list[Registration]:
    outlines = Outlines.of(anatomy.t1w, anatomy.mask, Volume.load(wm) if wm else None)
    site = sites.target_ras_mm or sites.beamf3_cortex_ras_mm
    return [
        Registration(
            facts.run_label(image, index),
            pictures.registration_slices(outlines, Volume.load(image), Transform.load(transform), site),
            pictures.registration_slices(outlines, anatomy.t1w, None, site),
        )
        for index, (image, transform) in enumerate(zip(boldref, transforms, strict=True), 1)
    ]


@dataclass(frozen=True)
class ImageIdentity:
    """Which image the coordinates belong to."""

    sha256: str
    size: str
    voxel_mm: str
    axes: str
    frame: str

    @classmethod
    def of(cls, path: Path) -> ImageIdentity:
        """Read the header and the checksum."""
        image = load_nifti(path)
        zooms = nib.affines.voxel_sizes(image.affine)
        return cls(
            sha256=sha256(path),
            size=" x ".join(str(size) for size in Grid.of(image).shape),
            voxel_mm=" x ".join(f"{zoom:.2f}" for zoom in zooms),
            axes="".join(nib.aff2axcodes(image.affine)),
            frame=f"sform: {_form(image, 'sform_code')}, qform: {_form(image, 'qform_code')}",
        )


def _form(image: nib.Nifti1Image, name: str) -> str:
    code = int(image.header[name])
    return f"{_FORM_NAMES.get(code, 'unknown')} (code {code})"
