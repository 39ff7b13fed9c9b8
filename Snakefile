# TMSPrep as a Snakemake workflow. The rules are in rules/, in the order that data flow; the commands that they run are in
# workflow/tmsprep/, one folder a stage. Run it as
#   snakemake --cores 2 --config bids_dir=bids_example output_dir=out
# or with `tmsprep bids_dir output_dir participant group`, which calls it.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

if Path("config.yaml").exists():  # of the folder that Snakemake runs in; --config and --configfile go before it

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/inputs.smk"
include: "rules/fmriprep.smk"
include: "rules/preprocess.smk"
include: "rules/denoise.smk"
include: "rules/target.smk"
include: "rules/scalp.smk"
include: "rules/navigate.smk"
include: "rules/export.smk"
include: "rules/report.smk"
include: "rules/group.smk"
include: "rules/provenance.smk"


rule all:
    "Everything: each participant's page, then the group's."
    default_target: True
    input:
        rules.participants.input,
        rules.group.output,
