"""The files that come out as text for people: ``docs/outputs.md``, made from the rules.

The patterns are those of the rules' ``output:`` sections, and of the ``params:`` that a command gets as ``--out-...``: what
a stage may leave out is no output of its rule. Only what each file is stands here.

``python -m tmsprep.outputs_text`` writes the page again; a test compares it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

from tmsprep.errors import ConfigurationError
from tmsprep.inputs.model import Plan
from tmsprep.options import Options, Preprocessing
from tmsprep.provenance.activity import FAILURES, RUNS
from tmsprep.provenance.publish import LIST
from tmsprep.runlock import LOCK_NAME
from tmsprep.study import Study
from tmsprep.workflow_files import snakefile

WORK = "work"

DATASETS = {
    "tmsprep": "The targets, and what they were made of.",
    "tedana": "Multi-echo runs only: [tedana's](denoise.md) denoised series and its own account of them.",
    "tmsprep-builtin": "Preprocessed data of the builtin engine, in fMRIPrep's layout. It is not fMRIPrep's output.",
    "fmriprep": "With `--preproc fmriprep`: everything that fMRIPrep wrote, under its own names.\n"
    "`tmsprep/prov/{folder}/{anat}_fmriprep.json` names each file with its checksum. TMSPrep adds two:",
    WORK: "Not a dataset: intermediate files, in `--work-dir` or `OUTPUT_DIR/work`. A later run goes on from them.\n"
    "Below `fmriprep-links` are links that give fMRIPrep's files fixed names.",
}
"""Dataset to what it is, in the order of the page."""

DESCRIPTIONS = {
    # every dataset
    "dataset_description.json": "What the dataset is, which programs made it, of what",
    ".bidsignore": "Names that the BIDS validator does not know yet",
    # tmsprep
    "plan.tsv": "Every participant, session and run of the dataset: processed or not, and why ([columns](inputs.md))",
    "{label}.html": "The participant's page: where, how sure, and what the scan was like",
    "group.html": "The group's page, by site",
    "group_targets.tsv": "One row a participant: target, status and the numbers behind it",
    "_fmriprep.json": "What fMRIPrep was started with, and every file that it wrote ([more](fmriprep.md#what-is-recorded))",
    "_markers.tsv": "Target, scalp entry, coil pose and depth of each candidate, the group coordinate, Beam F3, 10-20 F3",
    "_coordsystem.json": "The frame and unit of the markers, and the T1w that they belong to",
    "_navigators.json": "The files for neuronavigators: which there are, and why others are missing",
    "_brainsight.txt": "For Brainsight 2.5.3 or later",
    "_brainsight12.txt": "For Brainsight up to 2.5.2, and SimNIBS",
    "_localiteInstrument.xml": "For Localite: the coil at the scalp entry",
    "_localiteEntryTarget.xml": "For Localite: scalp entry and target",
    "_pose.json": "The coil's pose with the T1w's header fields, for scripts",
    "_slicer.mrk.json": "For 3D Slicer: scalp entry and target",
    "_burnedIn.nii.gz": "An image on the T1w's grid: 1 within 3 mm of the target",
    "_coordinates.tsv": "Target and scalp entry as numbers, in RAS and in LPS",
    "_desc-circuit_target.json": "The target with all numbers that say how sure it is ([which](target.md#how-sure))",
    "_desc-circuit_cloud.tsv": "The targets of resampled data (the bootstrap's cloud)",
    "_desc-circuit_statmap.nii.gz": "The score of every voxel of the search mask",
    "_desc-probability_statmap.nii.gz": "How often each voxel lay in the best cluster of resampled data",
    "_space-T1w_desc-denoised_bold.nii.gz": "The denoised series, in the participant's own space",
    "_space-T1w_desc-brain_mask.nii.gz": "Voxels of the brain with signal, in the participant's own space",
    "_space-MNI152NLin2009cAsym_desc-denoised_bold.nii.gz": "The denoised series, in the standard space",
    "_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz": "Voxels of the brain with signal, in the standard space",
    "_desc-globalSignal_statmap.nii.gz": "The weight of the global signal in each voxel's regression",
    "_desc-regressors_timeseries.tsv": "What was regressed out, and which volumes were kept",
    "_desc-regressors_timeseries.json": "Formula and orders of the cosines, from which the whole design can be rebuilt",
    "_desc-denoise_summary.json": "The regression in numbers ([which](denoise.md#regressors-and-summary))",
    "_desc-carpetplot_bold.png": "Every voxel's signal over time, before and after cleaning",
    "_desc-steps_tsnr.tsv": "The temporal signal-to-noise ratio after each step of cleaning",
    "_desc-tedana_summary.json": "The multi-echo denoising in numbers ([which](denoise.md#summary))",
    "_desc-head_mask.nii.gz": "The filled head",
    "_desc-scalp.surf.gii": "The scalp as a closed surface",
    "_fiducials.tsv": "Nasion, inion and the points before the ears, as found or as given",
    "_scalp.png": "A picture of the scalp with its fiducials, tape lines and Beam F3",
    "_beamf3.json": "Tape lengths, Beam F3, its spread, and its mirror image F4",
    "_electrodes.tsv": "The 10-10 positions on this person's scalp",
    # tedana
    "{run}_desc-denoised_bold.nii.gz": "The series without what tedana rejected",
    "_desc-optcom_bold.nii.gz": "The echoes combined, not denoised",
    "_desc-ICA_mixing.tsv": "The components' time courses",
    "_desc-ICA_decision_tree.json": "tedana's decision tree as it was applied",
    "_desc-ICA_status_table.tsv": "Each component's way through the tree",
    "_desc-tedana_metrics.tsv": "Each component's numbers and its class",
    "_desc-tedana_report.txt": "tedana's text for a paper",
    "_T2starmap.nii.gz": "T2* in seconds",
    "_S0map.nii.gz": "S0: the signal at echo time zero",
    "_desc-adaptiveGoodSignal_mask.nii.gz": "How many echoes of each voxel have good signal",
    # preprocessed
    "_desc-preproc_T1w.nii.gz": "The T1w, corrected for uneven intensity",
    "_res-2_desc-preproc_T1w.nii.gz": "The same in the standard space, 2 mm: to look at the normalisation",
    "{anat}_desc-brain_mask.nii.gz": "Brain mask of the T1w",
    "_dseg.nii.gz": "The tissues as labels",
    "_label-GM_probseg.nii.gz": "Probability of grey matter",
    "_label-WM_probseg.nii.gz": "Probability of white matter",
    "_label-CSF_probseg.nii.gz": "Probability of cerebrospinal fluid",
    "_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5": "Transform from the T1w to the standard space",
    "_from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.h5": "Transform from the standard space to the T1w",
    "_from-MNI152NLin6Asym_to-T1w_mode-image_xfm.h5": "Transform from the circuits' space to the T1w",
    "_desc-hmc_boldref.nii.gz": "The run's reference image for head motion",
    "_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt": "Head motion: one rigid transform a volume",
    "_desc-coreg_boldref.nii.gz": "The run's reference image, as it was registered to the T1w",
    "_from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt": "Rigid transform from the run to the T1w",
    "{run}_desc-brain_mask.nii.gz": "Brain mask of the run",
    "{bold}_desc-preproc_bold.nii.gz": "The series (of each echo), corrected for slice timing, head motion and distortion",
    "{bold}_desc-preproc_bold.json": "What the series' header does not hold: echo time, repetition time and others",
    "_desc-confounds_timeseries.tsv": "Head motion and other nuisance time series, under fMRIPrep's names",
    "_desc-preproc_fieldmap.nii.gz": "The field map of the run, in Hz",
    "_desc-magnitude_fieldmap.nii.gz": "The image that shows the field map's anatomy",
    # work
    "_check.json": "What was found when all images were read",
    "_reference.json": "The volumes of the run's reference, and its head motion in numbers",
    "_fieldmap-{index}.json": "Metadata of one field map image",
    "fmriprep_image.json": "The container image that all participants of this output folder use",
    "templateflow.json": "The templates that fMRIPrep asks for, with checksums",
    "fsaverage.json": "That FreeSurfer's average subject is in place, and its number of files",
    "group_arguments.txt": "The group's command line; removed after use",
}
"""End of a file's name (with its wildcard where that tells two apart) to what the file is. The longest that fits counts."""

WILDCARDS = {
    "folder": "the participant's folder: `sub-01`, or `sub-01/ses-1`",
    "anat": "the T1w: `sub-01`, or `sub-01_ses-1`",
    "run": "a functional run: `sub-01_task-rest_run-1`",
    "bold": "the same with its echo, where there are several: `sub-01_task-rest_echo-2`",
    "unit": "what gets one target: `sub-01_task-rest`",
    "label": "its name without the task: `sub-01`",
    "index": "a number: 0, 1",
}
"""Wildcard to what stands for it."""

_ROOT = PurePosixPath("/out")
_SECTION = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<rest>.*)")
_BLOCK = re.compile(r"(?P<indent> *)(?:rule (?P<rule>\w+)|(?P<other>localrules|wildcard_constraints)):\s*")
_OUT_WORD = re.compile(r"--out-[\w-]+ \{(?P<source>output|params)(?:\.(?P<name>\w+))?(?::q)?\}")
_STAGE = re.compile(r"tmsprep stage ([\w-]+)")


@dataclass(frozen=True)
class Output:
    """One pattern of output files."""

    dataset: str
    pattern: str
    """Below the dataset's folder."""
    rule: str
    stage: str | None
    """The stage that writes it; None for a rule without a command."""
    optional: bool
    """Whether the stage may leave it out."""

    @property
    def description(self) -> str:
        """What the file is.

        Raises
        ------
        ConfigurationError
            `DESCRIPTIONS` says nothing about it.
        """
        return DESCRIPTIONS[self.ending]

    @property
    def ending(self) -> str:
        """The key of `DESCRIPTIONS` that fits.

        Raises
        ------
        ConfigurationError
            There is none.
        """
        name = PurePosixPath(self.pattern).name
        fitting = [ending for ending in DESCRIPTIONS if name.endswith(ending)]
        if not fitting:
            raise ConfigurationError(
                f"nothing says what {self.pattern} is", where=f"rule {self.rule}", action="add it to DESCRIPTIONS"
            )
        return max(fitting, key=len)


def outputs() -> list[Output]:
    """Return the patterns of all rules, in the order of the page, each once."""
    found: dict[tuple[str, str], Output] = {}
    for engine in Preprocessing:
        for output in _outputs_of(engine):
            found.setdefault((output.dataset, output.pattern), output)
    order = list(DATASETS)
    return sorted(found.values(), key=lambda output: (order.index(output.dataset), _depth(output.pattern)))


def _depth(pattern: str) -> tuple[bool, str]:
    folder = PurePosixPath(pattern).parent.as_posix()
    return folder != ".", folder


def reference_text() -> str:
    """Return the reference of the outputs as Markdown."""
    lines = [
        "# Output files",
        "",
        "What each run writes below `OUTPUT_DIR`, by dataset. This page is made from the workflow's rules.",
        "",
        "A file in the tables stands for one a participant, run or echo. In its name",
        "",
        *(f"- `{{{name}}}` is {meaning}" for name, meaning in WILDCARDS.items()),
        "",
        "Each image, table, transform, surface and text has a JSON sidecar of the same name: what it was made of.",
        "Files marked *may be absent* are left out on purpose, for example where a site abstains.",
    ]
    for dataset, meaning in DATASETS.items():
        lines += ["", f"## `{dataset}/`", "", meaning, "", "| file | what | stage |", "|---|---|---|"]
        lines += [_row(output) for output in outputs() if output.dataset == dataset]
    lines += [
        "",
        "## Records",
        "",
        "Not written by rules, but by the program around them ([auditing](audit.md) says what is in them):",
        "",
        "| file | what |",
        "|---|---|",
        "| `*/prov/activities/` | one record for each run of a stage |",
        f"| `*/{FAILURES.as_posix()}/` | the same for stages that failed, until they succeed |",
        f"| `tmsprep/{RUNS.as_posix()}/` | one record for each call of the program |",
        f"| `tmsprep/{LIST.as_posix()}` | what was made of the records, with checksums |",
        "| `tmsprep/prov/summary.html` | the way from raw scans to the target, as a picture |",
        "| `*/prov/prov-*/`, `*/prov/provenance.*` | the records as BIDS-Prov files |",
        "| `tmsprep/prov/workflow/` | the workflow's Snakefile and rules |",
        "| `tmsprep/ro-crate-metadata.json` | the run as a Workflow Run RO-Crate |",
        "| `tmsprep/logs/`, `tmsprep/benchmarks/` | what each stage printed; its time and memory |",
        f"| `{WORK}/plan.json`, `{WORK}/options.yaml` | the plan and the options that the workflow works from |",
        f"| `{LOCK_NAME}` | who works on this folder; there while a run goes on, or after one that was killed |",
        "| `SHA256SUMS` | checksums of all files; written by `tmsprep lock` only |",
    ]
    return "\n".join(lines) + "\n"


def _row(output: Output) -> str:
    absent = " (*may be absent*)" if output.optional else ""
    return f"| `{output.pattern}` | {output.description}{absent} | {f'`{output.stage}`' if output.stage else ''} |"


def _outputs_of(engine: Preprocessing) -> Iterator[Output]:
    """Return the outputs of the rules that exist with an engine."""
    for rule in rules(engine):
        command = rule.command()
        stage = match[1] if (match := _STAGE.search(command)) else None
        for pattern in _patterns(rule.output()):
            yield from _placed(pattern, rule, stage, optional=False)
        for word in _OUT_WORD.finditer(command):
            if word["source"] == "params":
                for pattern in _patterns(rule.params()[word["name"]]):
                    yield from _placed(pattern, rule, stage, optional=True)


def _placed(pattern: str, rule: Rule, stage: str | None, *, optional: bool) -> Iterator[Output]:
    """Tell a pattern's dataset; one that serves several datasets is returned for each."""
    choices = rule.constraints().get("dataset", "{dataset}").split("|")
    for choice in choices:
        path = PurePosixPath(pattern.replace("{dataset}", choice)).relative_to(_ROOT)
        yield Output(path.parts[0], path.relative_to(path.parts[0]).as_posix(), rule.name, stage, optional)


def _patterns(value: Any) -> Iterator[str]:
    """Return the texts in a value of a rule, as Snakemake flattens them; a function gets wildcards that stay wildcards."""
    if isinstance(value, str):
        yield value
    elif callable(value):
        yield from _patterns(value({name: f"{{{name}}}" for name in WILDCARDS}))
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _patterns(item)


@dataclass(frozen=True)
class Rule:
    """A rule of the workflow; its sections are computed when asked for."""

    name: str
    output: Callable[[], dict[str, Any]]
    params: Callable[[], dict[str, Any]]
    constraints: Callable[[], dict[str, Any]]
    command: Callable[[], str]


def rules(engine: Preprocessing) -> list[Rule]:
    """Read the rules as Snakemake would with an engine, and run none.

    Each rule becomes one call, and the rest of a rule file is Python already. Of that rest imports, functions, conditions
    and values count; statements that act on the process (the path, the garbage collector) do not.
    """
    options = Options(bids_dir=Path("/raw"), output_dir=Path(_ROOT), preproc=engine)
    found: list[Rule] = []

    def keep(name: str, **sections: Callable[[], Any]) -> None:
        found.append(Rule(name, **sections))

    namespace: dict[str, Any] = {
        "config": {},
        "rules": SimpleNamespace(),
        "temp": lambda path: path,
        "_keep": keep,
        "_arguments": lambda *words, **named: {str(index): word for index, word in enumerate(words)} | named,
        "_study": Study(options, Plan(options.bids_dir, (), ())),
        "_options": options,
    }
    for path in _rule_files():
        tree = ast.parse(_as_python(path.read_text(encoding="utf-8")), filename=str(path))
        tree.body = [statement for statement in tree.body if _counts(statement)]
        # the program's own rules, no input
        exec(compile(_Preset().visit(tree), str(path), "exec"), namespace)  # noqa: S102  # nosec B102
    return found


def _rule_files() -> list[Path]:
    """Return the rule files in the order in which the Snakefile includes them."""
    top = snakefile()
    return [top.parent / name for name in re.findall(r'^include: "(.+)"$', top.read_text(encoding="utf-8"), re.MULTILINE)]


def _counts(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.If():
            return True
        case ast.Assign(targets=[ast.Name() | ast.Tuple()]):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="_keep"))):
            return True
        case _:
            return False


class _Preset(ast.NodeTransformer):
    """Give ``STUDY`` and ``OPTIONS`` values that need no dataset."""

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """Change what is assigned to the two names."""
        match node.targets:
            case [ast.Name(id="STUDY" | "OPTIONS" as name)]:
                node.value = ast.copy_location(ast.Name(id=f"_{name.lower()}", ctx=ast.Load()), node.value)
            case _:
                pass
        return node


def _as_python(text: str) -> str:
    """Write each rule of a rule file as a call of ``_keep``."""
    lines = text.splitlines()
    written: list[str] = []
    index = 0
    while index < len(lines):
        head = _BLOCK.fullmatch(lines[index])
        index += 1
        if head is None:
            written.append(lines[index - 1])
            continue
        end = _end(lines, index, len(head["indent"]))
        if head["rule"]:
            written.append(head["indent"] + _call(head["rule"], lines[index:end]))
        else:
            written.append(head["indent"] + "pass")
        index = end
    return "\n".join(written) + "\n"


def _end(lines: list[str], start: int, indent: int) -> int:
    """Return the index after the last line from `start` that is indented deeper than `indent`."""
    end = start
    for index in range(start, len(lines)):
        if lines[index].strip():
            if len(lines[index]) - len(lines[index].lstrip()) <= indent:
                break
            end = index + 1
    return end


def _call(name: str, lines: list[str]) -> str:
    """Write one rule as a call."""
    sections: dict[str, str] = {}
    index = 0
    while index < len(lines):
        head = _SECTION.fullmatch(lines[index])
        index += 1
        if head is None:
            continue  # the rule's description
        end = _end(lines, index, len(head["indent"]))
        sections[head["name"]] = "\n".join([head["rest"], *lines[index:end]])
        index = end
    parts = {"output": "output", "params": "params", "constraints": "wildcard_constraints"}
    words = [f"{key}=lambda: _arguments({sections.get(section, '')}\n)" for key, section in parts.items()]
    return f"_keep({name!r}, {', '.join(words)}, command=lambda: ({sections.get('shell', repr(''))}\n))"


def main() -> None:
    """Write the page in the checkout that the program runs from."""
    root = Path(__file__).resolve().parents[2]
    (root / "docs" / "outputs.md").write_text(reference_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
