# Multi-echo denoising and nuisance regression; single-echo runs skip tedana.
TED = STUDY.tedana.as_posix()
TED_FUNC = f"{TED}/{{folder}}/func/{{run}}"
TMS_FUNC = f"{OUT}/{{folder}}/func/{{run}}"


def series_to_clean(wildcards):
    "tedana's denoised series, or the preprocessed one of a single-echo run."
    if STUDY.is_multi_echo(wildcards.run):
        return f"{TED}/{wildcards.folder}/func/{wildcards.run}_desc-denoised_bold.nii.gz"
    return STUDY.echoes(wildcards.run)[0]


rule tedana:
    "TE-dependent denoising of a run with three or more echoes."
    input:
        echo=lambda wildcards: STUDY.echoes(wildcards.run),
        echo_sidecar=lambda wildcards: [path.replace(".nii.gz", ".json") for path in STUDY.echoes(wildcards.run)],
        mask=func(Functional.BRAIN_MASK),
        confounds=func(Functional.CONFOUNDS),
        # where fMRIPrep's outputs exist nothing else comes first, and what is written before has no provenance
        described=ancient(DESCRIPTIONS),
    output:
        denoised=f"{TED_FUNC}_desc-denoised_bold.nii.gz",
        optcom=f"{TED_FUNC}_desc-optcom_bold.nii.gz",
        mixing=f"{TED_FUNC}_desc-ICA_mixing.tsv",
        metrics=f"{TED_FUNC}_desc-tedana_metrics.tsv",
        t2star=f"{TED_FUNC}_T2starmap.nii.gz",
        s0=f"{TED_FUNC}_S0map.nii.gz",
        adaptive_mask=f"{TED_FUNC}_desc-adaptiveGoodSignal_mask.nii.gz",
        summary=f"{NIBS}/{{run}}_desc-tedana_summary.json",
    params:
        # not made on the last rung, so they are no outputs of the rule
        tree=f"{TED_FUNC}_desc-ICA_decision_tree.json",
        status=f"{TED_FUNC}_desc-ICA_status_table.tsv",
        report=f"{TED_FUNC}_desc-tedana_report.txt",
        seed=OPTIONS.seed,
    log:
        f"{LOGS}/{{folder}}/{{run}}_tedana.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{run}}_tedana.tsv"
    priority: 7
    resources:
        mem_mb=needs("tedana"),
        runtime=grows(120),
    shell:
        "tmsprep stage tedana --echo {input.echo:q} --echo-sidecar {input.echo_sidecar:q} --mask {input.mask:q}"
        " --confounds {input.confounds:q} --out-denoised {output.denoised:q} --out-optcom {output.optcom:q}"
        " --out-mixing {output.mixing:q} --out-metrics {output.metrics:q} --out-t2star {output.t2star:q}"
        " --out-s0 {output.s0:q} --out-adaptive-mask {output.adaptive_mask:q} --out-summary {output.summary:q}"
        " --out-decision-tree {params.tree:q} --out-status-table {params.status:q} --out-report {params.report:q}"
        " --seed {params.seed} > {log:q} 2>&1"


rule denoise:
    "One regression, then one interpolation to the T1w and one to the standard space."
    input:
        bold=series_to_clean,
        mask=func(Functional.BRAIN_MASK),
        confounds=func(Functional.CONFOUNDS),
        boldref_to_t1w=func(Functional.BOLDREF_TO_T1W),
        t1w_to_mni=anat(Anatomy.T1W_TO_MNI),
        t1w=anat(Anatomy.T1W),
        t1w_mask=anat(Anatomy.BRAIN_MASK),
        described=ancient(f"{OUT}/dataset_description.json"),
    output:
        t1w_bold=f"{TMS_FUNC}_space-T1w_desc-denoised_bold.nii.gz",
        t1w_mask=f"{TMS_FUNC}_space-T1w_desc-brain_mask.nii.gz",
        mni_bold=f"{TMS_FUNC}_space-MNI152NLin2009cAsym_desc-denoised_bold.nii.gz",
        mni_mask=f"{TMS_FUNC}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        global_beta=f"{TMS_FUNC}_space-T1w_desc-globalSignal_statmap.nii.gz",
        regressors=f"{TMS_FUNC}_desc-regressors_timeseries.tsv",
        regressors_sidecar=f"{TMS_FUNC}_desc-regressors_timeseries.json",
        summary=f"{NIBS}/{{run}}_desc-denoise_summary.json",
    params:
        fd=OPTIONS.fd_threshold_mm,
        gsr="--global-signal" if OPTIONS.global_signal else "--no-global-signal",
        fwhm=OPTIONS.smoothing_fwhm_mm,
    log:
        f"{LOGS}/{{folder}}/{{run}}_denoise.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{run}}_denoise.tsv"
    priority: 8
    resources:
        mem_mb=needs("denoise"),
        runtime=grows(60),
    shell:
        "tmsprep stage denoise --bold {input.bold:q} --mask {input.mask:q} --confounds {input.confounds:q}"
        " --boldref-to-t1w {input.boldref_to_t1w:q} --t1w-to-mni {input.t1w_to_mni:q} --t1w {input.t1w:q}"
        " --t1w-mask {input.t1w_mask:q} --out-t1w-bold {output.t1w_bold:q} --out-t1w-mask {output.t1w_mask:q}"
        " --out-mni-bold {output.mni_bold:q} --out-mni-mask {output.mni_mask:q} --out-regressors {output.regressors:q}"
        " --out-global-beta {output.global_beta:q} --out-summary {output.summary:q} --fd-threshold-mm {params.fd} {params.gsr} --smoothing-fwhm-mm {params.fwhm}"
        " > {log:q} 2>&1"


CARPET = f"{OUT}/{{folder}}/figures/{{run}}_desc-carpetplot_bold.png"
TSNR_STEPS = f"{NIBS}/{{run}}_desc-steps_tsnr.tsv"


def tedana_series(name):
    "Input function: tedana's series of a multi-echo run; none for a single-echo run."
    pattern = f"{TED_FUNC}_desc-{name}_bold.nii.gz"
    return lambda wildcards: pattern.format(**wildcards) if STUDY.is_multi_echo(wildcards.run) else []


def echoes_to_look_at(wildcards):
    "All echoes that tedana combined; else the one that was cleaned."
    return STUDY.echoes(wildcards.run) if STUDY.is_multi_echo(wildcards.run) else [series_to_clean(wildcards)]


rule carpet:
    "The run before and after cleaning, for the participant's page."
    input:
        echo=echoes_to_look_at,
        optcom=tedana_series("optcom"),
        denoised=tedana_series("denoised"),
        mask=func(Functional.BRAIN_MASK),
        confounds=func(Functional.CONFOUNDS),
        regressors=rules.denoise.output.regressors,
        boldref_to_t1w=func(Functional.BOLDREF_TO_T1W),
        cleaned=rules.denoise.output.t1w_bold,
        cleaned_mask=rules.denoise.output.t1w_mask,
        gm=anat(Anatomy.GM),
        wm=anat(Anatomy.WM),
        csf=anat(Anatomy.CSF),
    output:
        carpet=CARPET,
        tsnr=TSNR_STEPS,
    params:
        tedana=lambda wildcards, input: option("--optcom", input.optcom) + option("--denoised", input.denoised),
    log:
        f"{LOGS}/{{folder}}/{{run}}_carpet.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{run}}_carpet.tsv"
    priority: 10
    resources:
        mem_mb=needs("carpet"),
        runtime=grows(15),
    shell:
        "tmsprep stage carpet --echo {input.echo:q} {params.tedana:q} --mask {input.mask:q} --confounds {input.confounds:q}"
        " --regressors {input.regressors:q} --boldref-to-t1w {input.boldref_to_t1w:q} --cleaned {input.cleaned:q}"
        " --cleaned-mask {input.cleaned_mask:q} --gm {input.gm:q} --wm {input.wm:q} --csf {input.csf:q}"
        " --out-carpet {output.carpet:q} --out-tsnr {output.tsnr:q} > {log:q} 2>&1"
