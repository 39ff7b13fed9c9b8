# The individual target in the left DLPFC.


rule target:
    "Score the voxels of the search mask and choose a site."
    input:
        bold=run_outputs(f"{OUT}/{{folder}}/func/{{run}}_space-T1w_desc-denoised_bold.nii.gz"),
        bold_mask=run_outputs(f"{OUT}/{{folder}}/func/{{run}}_space-T1w_desc-brain_mask.nii.gz"),
        regressors=run_outputs(f"{OUT}/{{folder}}/func/{{run}}_desc-regressors_timeseries.tsv"),
        regressors_sidecar=run_outputs(f"{OUT}/{{folder}}/func/{{run}}_desc-regressors_timeseries.json"),
        global_beta=run_outputs(f"{OUT}/{{folder}}/func/{{run}}_space-T1w_desc-globalSignal_statmap.nii.gz"),
        summary=run_outputs(f"{NIBS}/{{run}}_desc-denoise_summary.json"),
        t1w=anat(Anatomy.T1W),
        gm=anat(Anatomy.GM),
        t1w_to_mni=anat(Anatomy.T1W_TO_MNI),
        mni_to_t1w=anat(Anatomy.MNI_TO_T1W),
        scalp=anat_output(SCALP),
        nlin6_to_t1w=lambda wildcards: STUDY.nlin6_to_t1w(anat_of(wildcards)),
        circuit_file=CIRCUIT_FILE,
        thresholds=str(OPTIONS.thresholds) if OPTIONS.thresholds else [],
    output:
        scores=f"{OUT}/{{folder}}/func/{{unit}}_space-T1w_desc-circuit_statmap.nii.gz",
        probability=f"{OUT}/{{folder}}/func/{{unit}}_space-T1w_desc-probability_statmap.nii.gz",
        cloud=f"{NIBS}/{{unit}}_desc-circuit_cloud.tsv",
        result=f"{NIBS}/{{unit}}_desc-circuit_target.json",
    params:
        circuit=CIRCUIT,
        circuit_file=option("--circuit-file", CIRCUIT_FILE),
        circuit_space=OPTIONS.circuit_space,
        nlin6_to_t1w=lambda wildcards, input: option("--nlin6-to-t1w", list(input.nlin6_to_t1w)),
        method=OPTIONS.method.value,
        search_mask=OPTIONS.search_mask,
        depth=OPTIONS.max_depth_mm,
        polarity="--force-polarity" if OPTIONS.force_polarity else "--no-force-polarity",
        draws=OPTIONS.bootstrap_draws,
        thresholds=lambda wildcards, input: option("--thresholds", input.thresholds),
        seed=OPTIONS.seed,
    log:
        f"{LOGS}/{{folder}}/{{unit}}_target.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{unit}}_target.tsv"
    priority: 10
    resources:
        mem_mb=needs("target"),
        runtime=grows(60),
    shell:
        "tmsprep stage target --bold {input.bold:q} --bold-mask {input.bold_mask:q} --regressors {input.regressors:q}"
        " --summary {input.summary:q} --t1w {input.t1w:q} --gm {input.gm:q} --t1w-to-mni {input.t1w_to_mni:q}"
        " --mni-to-t1w {input.mni_to_t1w:q} --scalp {input.scalp:q} {params.nlin6_to_t1w:q} --circuit {params.circuit:q} {params.circuit_file:q}"
        " --circuit-space {params.circuit_space} --method {params.method}"
        " --search-mask {params.search_mask:q} --max-depth-mm {params.depth} {params.polarity} --seed {params.seed}"
        " --regressors-sidecar {input.regressors_sidecar:q} --global-beta {input.global_beta:q} --draws {params.draws}"
        " {params.thresholds:q} --out-probability {output.probability:q} --out-cloud {output.cloud:q}"
        " --out-scores {output.scores:q} --out-result {output.result:q} > {log:q} 2>&1"
