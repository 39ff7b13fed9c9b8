# All participants and sites together.


def finished_units():
    "Units with a result on disk, where only those are asked for; otherwise all."
    if not config.get("finished_only", False):
        return list(STUDY.units)
    pages = zip(STUDY.units, STUDY.participant_files(f"{OUT}/{{label}}.html"))
    return [unit for unit, page in pages if Path(page).exists()]


GROUP_UNITS = finished_units()


rule group:
    "The table and the page of the group."
    input:
        markers=STUDY.participant_files(f"{NIBS}/{{unit}}_markers.tsv", GROUP_UNITS),
        target=STUDY.participant_files(f"{NIBS}/{{unit}}_desc-circuit_target.json", GROUP_UNITS),
        truth=[STUDY.truth.as_posix()] if STUDY.truth else [],
    output:
        targets=f"{OUT}/group_targets.tsv",
        html=f"{OUT}/group.html",
    params:
        participants=[unit_label(unit) for unit in GROUP_UNITS],
        sites=[STUDY.units[unit].site or "n/a" for unit in GROUP_UNITS],
        truth=option("--truth", STUDY.truth),
    log:
        f"{LOGS}/group.log",
    benchmark:
        f"{BENCHMARKS}/group.tsv"
    resources:
        mem_mb=2000,
        runtime=15,
    shell:
        "tmsprep stage group --markers {input.markers:q} --target {input.target:q}"
        " --participants {params.participants:q} --sites {params.sites:q} {params.truth:q}"
        " --out-targets {output.targets:q} --out-html {output.html:q} > {log:q} 2>&1"
