# What all rules share: the study (options and plan), where things go, and the form of the wildcards.
#
# A rule's priority is the higher the nearer it is to a participant's page, so that of the jobs that fit those go first that
# finish who is begun, and the highest for what all wait for. A participant begins with the check or, where all are
# preprocessed, with tedana or denoise, after everybody's scalp, which takes seconds. None is 0, which the greedy scheduler
# cannot tell from "does not fit".
import gc
import os
import sys
from pathlib import Path

from tmsprep.memory import image_mb, need_mb, need_of_field_map_mb, need_of_group_mb, volume_mb
from tmsprep.preprocess.contract import Anatomy, Functional, BOLD, NLIN6_TO_T1W
from tmsprep.provenance.activity import DATASET_VARIABLE
from tmsprep.study import (
    DRAFT_FOLDER,
    Engine,
    GROUP_UNITS,
    GROUP_WITHOUT,
    Study,
    anat_stem,
    circuit_of,
    folder_of_stem,
    license_file,
    unit_folder,
    unit_label,
    unit_stem,
)

# `tmsprep` is the one beside this Python, also where the environment was not activated
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]

# Snakemake keeps millions of objects; looking through them again and again takes a tenth of its time
gc.set_threshold(100_000, 20, 100)

STUDY = Study.from_config({key: value for key, value in config.items() if key not in {GROUP_UNITS, GROUP_WITHOUT}})
OPTIONS = STUDY.options

OUT = STUDY.tmsprep.as_posix()
os.environ[DATASET_VARIABLE] = OUT
WORK = OPTIONS.work.as_posix()
LOGS = f"{OUT}/logs"
BENCHMARKS = f"{OUT}/benchmarks"
DESCRIPTIONS = [
    f"{OPTIONS.output_dir.as_posix()}/{dataset}/dataset_description.json" for dataset in STUDY.datasets()
]
NIBS = f"{OUT}/{{folder}}/{DRAFT_FOLDER}"
SCALP = f"{OUT}/{{folder}}/anat/{{anat}}_space-T1w_desc-scalp.surf.gii"
FIDUCIALS = str(OPTIONS.fiducials) if OPTIONS.fiducials else []
CIRCUIT, CIRCUIT_PATH = circuit_of(OPTIONS)
CIRCUIT_FILE = CIRCUIT_PATH.as_posix() if CIRCUIT_PATH else []


UNIT_OF_LABEL = {unit_label(unit): unit for unit in STUDY.units}
LABEL = r"[0-9A-Za-z+]+"


wildcard_constraints:
    folder=rf"sub-{LABEL}(/ses-{LABEL})?",
    anat=rf"sub-{LABEL}(_ses-{LABEL})?",
    run=rf"sub-{LABEL}(_[a-z]+-{LABEL})+",
    bold=rf"sub-{LABEL}(_[a-z]+-{LABEL})+",
    unit=rf"sub-{LABEL}(_ses-{LABEL})?(_task-{LABEL})?",
    label=rf"sub-{LABEL}(_ses-{LABEL})?",


def anat(item):
    "Input function: the T1w's contract file for a rule with the wildcard anat, run or unit."
    return lambda wildcards: STUDY.anatomy(item, anat_of(wildcards))


def func(item):
    "Input function: the run's contract file."
    return lambda wildcards: STUDY.functional(item, wildcards.run)


def unit_of_label(wildcards):
    return UNIT_OF_LABEL[wildcards.label]


def unit_of(wildcards):
    return unit_of_label(wildcards) if "label" in wildcards.keys() else wildcards.unit


def runs_of(wildcards):
    "The runs that a job with these wildcards works on; none if it works on a T1w."
    if "anat" in wildcards.keys():
        return []
    if "run" in wildcards.keys():
        return [wildcards.run]
    if "bold" in wildcards.keys():
        return [STUDY.bolds[wildcards.bold][0].stem]
    return STUDY.run_stems(unit_of(wildcards))


def anat_of(wildcards):
    if "anat" in wildcards.keys():
        return wildcards.anat
    if "run" in wildcards.keys() or "bold" in wildcards.keys():
        return STUDY.anat_of_run(runs_of(wildcards)[0])
    return anat_stem(STUDY.units[unit_of(wildcards)])


def run_outputs(pattern):
    "Input function: a pattern with folder and run, for each run of the unit."
    return lambda wildcards: [
        pattern.format(folder=folder_of_stem(run), run=run) for run in STUDY.run_stems(wildcards.unit)
    ]


def anat_output(pattern):
    "Input function: a pattern with folder and anat, for the T1w of the unit."
    return lambda wildcards: pattern.format(folder=folder_of_stem(anat_of(wildcards)), anat=anat_of(wildcards))


def needs(stage):
    "Resource function: the memory that the stage was measured to take for images of this size, and more at each attempt."

    def mem_mb(wildcards, attempt):
        runs = [STUDY.runs[run] for run in runs_of(wildcards)]
        sizes = [image_mb(run.echoes[0].path) for run in runs]
        return attempt * need_mb(
            stage,
            run_mb=sum(sizes) if stage == "target" else max(sizes, default=0.0),
            echoes=max((len(run.echoes) for run in runs), default=1),
            t1w_mb=image_mb(STUDY.anats[anat_of(wildcards)].t1w),
        )

    return mem_mb


def needs_of_field_map(wildcards, attempt):
    "Resource function: as `needs`, for the field map of a run."
    found = STUDY.runs[wildcards.run].fieldmap
    return attempt * need_of_field_map_mb(found.kind, max(map(volume_mb, found.images)))


def grows(amount):
    "Resource function: as much again at each attempt; a job that was killed may have had too little."
    return lambda wildcards, attempt: attempt * amount


def option(name, value):
    "A command line's words for an option that may be absent, quoted by Snakemake's :q."
    return [] if value in (None, "", []) else [name, *(value if isinstance(value, list) else [str(value)])]
