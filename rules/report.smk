# What a clinician reads: one page a participant.


def page(pattern):
    "Input function: a file of the participant whose page is made."

    def fill(wildcards):
        unit = unit_of_label(wildcards)
        stem = anat_stem(STUDY.units[unit])
        return pattern.format(folder=unit_folder(STUDY.units[unit]), unit=unit, anat=stem)

    return fill


def page_anat(pattern):
    "Input function: a file of the T1w of that participant."

    def fill(wildcards):
        stem = anat_stem(STUDY.units[unit_of_label(wildcards)])
        return pattern.format(folder=folder_of_stem(stem), anat=stem)

    return fill


def page_runs(pattern, multi_echo_only=False):
    "Input function: a file of each run of that participant."

    def fill(wildcards):
        unit = unit_of_label(wildcards)
        runs = STUDY.multi_echo_runs(unit) if multi_echo_only else STUDY.run_stems(unit)
        return [pattern.format(folder=folder_of_stem(run), run=run) for run in runs]

    return fill


def page_contract(item):
    "Input function: the contract files of each run of that participant."
    return lambda wildcards: [STUDY.functional(item, run) for run in STUDY.run_stems(unit_of_label(wildcards))]


TEDANA_SUMMARY = f"{NIBS}/{{run}}_desc-tedana_summary.json"


rule report:
    "The participant's page."
    input:
        t1w=lambda wildcards: STUDY.anatomy(Anatomy.T1W, anat_stem(STUDY.units[unit_of_label(wildcards)])),
        brain_mask=lambda wildcards: STUDY.anatomy(Anatomy.BRAIN_MASK, anat_stem(STUDY.units[unit_of_label(wildcards)])),
        scores=page(f"{OUT}/{{folder}}/func/{{unit}}_space-T1w_desc-circuit_statmap.nii.gz"),
        target=page(f"{NIBS}/{{unit}}_desc-circuit_target.json"),
        beamf3=page_anat(f"{NIBS}/{{anat}}_beamf3.json"),
        fiducials=page_anat(f"{NIBS}/{{anat}}_fiducials.tsv"),
        markers=page(f"{NIBS}/{{unit}}_markers.tsv"),
        navigators=page(f"{NIBS}/{{unit}}_navigators.json"),
        scalp_picture=page_anat(f"{NIBS}/{{anat}}_scalp.png"),
        confounds=page_contract(Functional.CONFOUNDS),
        regressors=page_runs(f"{OUT}/{{folder}}/func/{{run}}_desc-regressors_timeseries.tsv"),
        wm=lambda wildcards: STUDY.anatomy(Anatomy.WM, anat_stem(STUDY.units[unit_of_label(wildcards)])),
        denoise_summary=page_runs(f"{NIBS}/{{run}}_desc-denoise_summary.json"),
        tedana_summary=page_runs(TEDANA_SUMMARY, multi_echo_only=True),
        tedana_metrics=page_runs(f"{TED_FUNC}_desc-tedana_metrics.tsv", multi_echo_only=True),
        boldref=page_contract(Functional.BOLDREF),
        boldref_to_t1w=page_contract(Functional.BOLDREF_TO_T1W),
        plan=ancient(f"{OUT}/plan.tsv"),
        scalp=page_anat(SCALP),
        cloud=page(f"{NIBS}/{{unit}}_desc-circuit_cloud.tsv"),
        carpet=page_runs(CARPET),
        tsnr_steps=page_runs(TSNR_STEPS),
    output:
        html=f"{OUT}/{{label}}.html",
    params:
        tedana=lambda wildcards, input: (
            option("--tedana-summary", list(input.tedana_summary)) + option("--tedana-metrics", list(input.tedana_metrics))
        ),
    log:
        f"{LOGS}/{{label}}_report.log",
    benchmark:
        f"{BENCHMARKS}/{{label}}_report.tsv"
    priority: 13
    resources:
        mem_mb=needs("report"),
        runtime=grows(15),
    shell:
        "tmsprep stage report --participant {wildcards.label} --t1w {input.t1w:q} --brain-mask {input.brain_mask:q}"
        " --scores {input.scores:q} --target {input.target:q} --beamf3 {input.beamf3:q} --fiducials {input.fiducials:q}"
        " --markers {input.markers:q} --navigators {input.navigators:q} --scalp-picture {input.scalp_picture:q} --confounds {input.confounds:q}"
        " --regressors {input.regressors:q} --wm {input.wm:q} --denoise-summary {input.denoise_summary:q} {params.tedana:q} --boldref {input.boldref:q}"
        " --boldref-to-t1w {input.boldref_to_t1w:q} --plan {input.plan:q} --scalp {input.scalp:q} --cloud {input.cloud:q}"
        " --carpet {input.carpet:q} --tsnr-steps {input.tsnr_steps:q} --out-html {output.html:q} > {log:q} 2>&1"


rule participants:
    "Every participant's page, and with it all that it is made of."
    input:
        f"{OUT}/plan.tsv",
        DESCRIPTIONS,
        STUDY.participant_files(f"{OUT}/{{label}}.html"),
