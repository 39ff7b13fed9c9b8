# Files that neuronavigators load.
from tmsprep.navigate.formats.names import ENDINGS, SITES


def navigator_files(wildcards):
    "Names for every site and format; those of a site that abstains are not written, so they are no outputs of the rule."
    stem = f"{NIBS}/{{unit}}".format(**wildcards)
    return [f"{stem}_desc-{site}_{ending}" for site in SITES for ending in ENDINGS]


rule export:
    "Navigator files of the circuit target and of Beam F3."
    input:
        t1w=lambda wildcards: STUDY.units[wildcards.unit].t1w.as_posix(),
        markers=f"{NIBS}/{{unit}}_markers.tsv",
        coordsystem=f"{NIBS}/{{unit}}_coordsystem.json",
    output:
        index=f"{NIBS}/{{unit}}_navigators.json",
    params:
        files=navigator_files,
        form=OPTIONS.navigator_form.value,
        intended_for=lambda wildcards: f"bids:raw:{STUDY.units[wildcards.unit].t1w.relative_to(OPTIONS.bids_dir).as_posix()}",
    log:
        f"{LOGS}/{{folder}}/{{unit}}_export.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{unit}}_export.tsv"
    priority: 12
    resources:
        mem_mb=needs("export"),
        runtime=grows(10),
    shell:
        "tmsprep stage export --markers {input.markers:q} --t1w {input.t1w:q} --coordsystem {input.coordsystem:q}"
        " --form {params.form} --intended-for {params.intended_for:q} --out-files {params.files:q} --out-index {output.index:q} > {log:q} 2>&1"
