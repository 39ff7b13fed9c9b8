# All participants and sites together.


GROUP = config.get(GROUP_UNITS, list(STUDY.units))


rule group:
    "The table and the page of the group."
    input:
        markers=STUDY.participant_files(f"{NIBS}/{{unit}}_markers.tsv", GROUP),
        target=STUDY.participant_files(f"{NIBS}/{{unit}}_desc-circuit_target.json", GROUP),
        truth=[STUDY.truth.as_posix()] if STUDY.truth else [],
    output:
        targets=f"{OUT}/group_targets.tsv",
        html=f"{OUT}/group.html",
    params:
        participants=[unit_label(unit) for unit in GROUP],
        sites=[STUDY.units[unit].site or "n/a" for unit in GROUP],
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
