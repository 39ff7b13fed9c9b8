# All participants and sites together.


GROUP = config.get(GROUP_UNITS, list(STUDY.units))
WITHOUT = config.get(GROUP_WITHOUT, [])


def denoise_summaries(unit):
    "The denoising summaries of a unit's runs."
    return [f"{NIBS}/{{run}}_desc-denoise_summary.json".format(folder=folder_of_stem(run), run=run) for run in STUDY.run_stems(unit)]


rule group_arguments:
    "The group's files, in a file: a command line takes those of some hundred participants at most."
    output:
        # not kept: it holds absolute paths, and an output folder that was moved must not read from its old place
        arguments=temp(f"{WORK}/group_arguments.txt"),
    params:
        words=[
            "--markers",
            *STUDY.participant_files(f"{NIBS}/{{unit}}_markers.tsv", GROUP),
            "--target",
            *STUDY.participant_files(f"{NIBS}/{{unit}}_desc-circuit_target.json", GROUP),
            "--participants",
            *(unit_label(unit) for unit in GROUP),
            "--sites",
            *(STUDY.units[unit].site or "n/a" for unit in GROUP),
            "--denoise-summary",
            *(summary for unit in GROUP for summary in denoise_summaries(unit)),
            "--run-participants",
            *(unit_label(unit) for unit in GROUP for _ in denoise_summaries(unit)),
            *(["--without", *WITHOUT] if WITHOUT else []),
        ],
    priority: 14
    localrule: True
    run:
        Path(output.arguments).write_text("".join(f"{word}\n" for word in params.words), encoding="utf-8")


rule group:
    "The table and the page of the group."
    input:
        markers=STUDY.participant_files(f"{NIBS}/{{unit}}_markers.tsv", GROUP),
        target=STUDY.participant_files(f"{NIBS}/{{unit}}_desc-circuit_target.json", GROUP),
        denoise_summary=[summary for unit in GROUP for summary in denoise_summaries(unit)],
        arguments=rules.group_arguments.output.arguments,
        truth=[STUDY.truth.as_posix()] if STUDY.truth else [],
    output:
        targets=f"{OUT}/group_targets.tsv",
        html=f"{OUT}/group.html",
    params:
        truth=option("--truth", STUDY.truth),
    log:
        f"{LOGS}/group.log",
    benchmark:
        f"{BENCHMARKS}/group.tsv"
    priority: 15
    resources:
        mem_mb=grows(need_of_group_mb(len(GROUP))),
        runtime=grows(15),
    shell:
        "tmsprep stage group @{input.arguments:q} {params.truth:q}"
        " --out-targets {output.targets:q} --out-html {output.html:q} > {log:q} 2>&1"
