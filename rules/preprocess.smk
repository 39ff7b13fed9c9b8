# The builtin engine: from raw images to the preprocessing contract.
PRE = STUDY.preproc.as_posix()
PRE_FUNC = f"{PRE}/{{folder}}/func/{{run}}"


def raw_run(wildcards):
    return STUDY.runs[wildcards.run]


def checked(wildcards):
    "A participant's images are read and found good before they are worked on."
    run = wildcards.get("run") or (STUDY.bolds[wildcards.bold][0].stem if "bold" in wildcards.keys() else None)
    unit = STUDY.unit_of_run(run) if run else STUDY.anats[wildcards.anat]
    stem = unit_stem(unit)
    return f"{WORK}/{unit_folder(unit)}/{stem}_check.json"


if STUDY.engine is Engine.BUILTIN:

    rule anatomy:
        "Bias field, brain mask and tissue probabilities of a T1w."
        input:
            t1w=lambda wildcards: STUDY.anats[wildcards.anat].t1w.as_posix(),
            checked=checked,
        output:
            t1w=STUDY.contract(Anatomy.T1W),
            brain_mask=STUDY.contract(Anatomy.BRAIN_MASK),
            gm=STUDY.contract(Anatomy.GM),
            wm=STUDY.contract(Anatomy.WM),
            csf=STUDY.contract(Anatomy.CSF),
            dseg=STUDY.contract(Anatomy.DSEG),
        params:
            seed=OPTIONS.seed,
        log:
            f"{LOGS}/{{folder}}/{{anat}}_anatomy.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{anat}}_anatomy.tsv"
        priority: 2
        resources:
            mem_mb=needs("anatomy"),
            runtime=grows(30),
        shell:
            "tmsprep stage anatomy --t1w {input.t1w:q} --out-t1w {output.t1w:q} --out-brain-mask {output.brain_mask:q}"
            " --out-gm {output.gm:q} --out-wm {output.wm:q} --out-csf {output.csf:q} --out-dseg {output.dseg:q}"
            " --seed {params.seed} > {log:q} 2>&1"

    rule normalise:
        "The transforms between a T1w and MNI152NLin2009cAsym."
        input:
            t1w=STUDY.contract(Anatomy.T1W),
            brain_mask=STUDY.contract(Anatomy.BRAIN_MASK),
        output:
            t1w_to_mni=STUDY.contract(Anatomy.T1W_TO_MNI),
            mni_to_t1w=STUDY.contract(Anatomy.MNI_TO_T1W),
            mni_t1w=f"{PRE}/{{folder}}/anat/{{anat}}_space-MNI152NLin2009cAsym_res-2_desc-preproc_T1w.nii.gz",
        params:
            seed=OPTIONS.seed,
        log:
            f"{LOGS}/{{folder}}/{{anat}}_normalise.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{anat}}_normalise.tsv"
        priority: 3
        resources:
            mem_mb=needs("normalise"),
            runtime=grows(30),
        shell:
            "tmsprep stage normalise --t1w {input.t1w:q} --brain-mask {input.brain_mask:q}"
            " --out-t1w-to-mni {output.t1w_to_mni:q} --out-mni-to-t1w {output.mni_to_t1w:q}"
            " --out-mni-t1w {output.mni_t1w:q} --seed {params.seed} > {log:q} 2>&1"

    rule bold_reference:
        "The BOLD reference and the head motion, from the first echo."
        input:
            bold=lambda wildcards: raw_run(wildcards).echoes[0].path.as_posix(),
            sidecar=lambda wildcards: STUDY.sidecars(wildcards.run),
            checked=checked,
        output:
            reference=f"{PRE_FUNC}_desc-hmc_boldref.nii.gz",
            motion=f"{PRE_FUNC}_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt",
            summary=f"{WORK}/{{folder}}/{{run}}_reference.json",
        params:
            dummy=option("--dummy-scans", OPTIONS.dummy_scans),
        log:
            f"{LOGS}/{{folder}}/{{run}}_bold_reference.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{run}}_bold_reference.tsv"
        priority: 2
        resources:
            mem_mb=needs("bold-reference"),
            runtime=grows(30),
        shell:
            "tmsprep stage bold-reference --bold {input.bold:q} --sidecar {input.sidecar:q} {params.dummy:q}"
            " --out-reference {output.reference:q} --out-motion {output.motion:q} --out-summary {output.summary:q}"
            " > {log:q} 2>&1"

    rule coregister:
        "The rigid transform between a run and its T1w."
        input:
            boldref=f"{PRE_FUNC}_desc-hmc_boldref.nii.gz",
            t1w=anat(Anatomy.T1W),
            brain_mask=anat(Anatomy.BRAIN_MASK),
            wm=anat(Anatomy.WM),
            sidecar=lambda wildcards: STUDY.sidecars(wildcards.run),
            fieldmap=lambda wildcards: fieldmap_of(wildcards.run),
        output:
            boldref=STUDY.contract(Functional.BOLDREF),
            boldref_to_t1w=STUDY.contract(Functional.BOLDREF_TO_T1W),
            mask=STUDY.contract(Functional.BRAIN_MASK),
        params:
            fieldmap=lambda wildcards: option("--fieldmap", fieldmap_of(wildcards.run)),
            seed=OPTIONS.seed,
        log:
            f"{LOGS}/{{folder}}/{{run}}_coregister.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{run}}_coregister.tsv"
        priority: 4
        resources:
            mem_mb=needs("coregister"),
            runtime=grows(30),
        shell:
            "tmsprep stage coregister --boldref {input.boldref:q} --t1w {input.t1w:q} --brain-mask {input.brain_mask:q}"
            " --wm {input.wm:q} {params.fieldmap:q} --sidecar {input.sidecar:q} --out-boldref {output.boldref:q}"
            " --out-boldref-to-t1w {output.boldref_to_t1w:q} --out-mask {output.mask:q} --seed {params.seed}"
            " > {log:q} 2>&1"

    rule bold_resample:
        "Slice timing, motion and distortion of one echo corrected, in one interpolation."
        input:
            echo=lambda wildcards: STUDY.bolds[wildcards.bold][1].path.as_posix(),
            sidecar=lambda wildcards: [path.as_posix() for path in STUDY.bolds[wildcards.bold][1].sidecars],
            reference=lambda wildcards: of_bold(wildcards, "desc-hmc_boldref.nii.gz"),
            motion=lambda wildcards: of_bold(wildcards, "from-orig_to-boldref_mode-image_desc-hmc_xfm.txt"),
            summary=lambda wildcards: f"{WORK}/{wildcards.folder}/{STUDY.bolds[wildcards.bold][0].stem}_reference.json",
            fieldmap=lambda wildcards: fieldmap_of(STUDY.bolds[wildcards.bold][0].stem),
        output:
            echo=STUDY.contract(BOLD),
            sidecar=STUDY.contract(BOLD).replace(".nii.gz", ".json"),
        params:
            echo_time=lambda wildcards: option("--echo-times", STUDY.bolds[wildcards.bold][1].echo_time_s),
            fieldmap=lambda wildcards: option("--fieldmap", fieldmap_of(STUDY.bolds[wildcards.bold][0].stem)),
        log:
            f"{LOGS}/{{folder}}/{{bold}}_bold_resample.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{bold}}_bold_resample.tsv"
        priority: 5
        resources:
            mem_mb=needs("bold-resample"),
            runtime=grows(60),
        shell:
            "tmsprep stage bold-resample --echo {input.echo:q} {params.echo_time:q} --sidecar {input.sidecar:q}"
            " --reference {input.reference:q} --motion {input.motion:q} --summary {input.summary:q} {params.fieldmap:q}"
            " --out-echo {output.echo:q} > {log:q} 2>&1"

    rule confounds:
        "Nuisance time series under fMRIPrep's names."
        input:
            bold=lambda wildcards: STUDY.echoes(wildcards.run)[0],
            mask=func(Functional.BRAIN_MASK),
            boldref_to_t1w=func(Functional.BOLDREF_TO_T1W),
            gm=anat(Anatomy.GM),
            wm=anat(Anatomy.WM),
            csf=anat(Anatomy.CSF),
            motion=f"{PRE_FUNC}_from-orig_to-boldref_mode-image_desc-hmc_xfm.txt",
            summary=f"{WORK}/{{folder}}/{{run}}_reference.json",
        output:
            confounds=STUDY.contract(Functional.CONFOUNDS),
        log:
            f"{LOGS}/{{folder}}/{{run}}_confounds.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{run}}_confounds.tsv"
        priority: 6
        resources:
            mem_mb=needs("confounds"),
            runtime=grows(30),
        shell:
            "tmsprep stage confounds --bold {input.bold:q} --mask {input.mask:q}"
            " --boldref-to-t1w {input.boldref_to_t1w:q} --gm {input.gm:q} --wm {input.wm:q} --csf {input.csf:q}"
            " --motion {input.motion:q} --summary {input.summary:q} --out-confounds {output.confounds:q} > {log:q} 2>&1"

    rule merged_sidecar:
        "The metadata of one field map image, inheritance resolved."
        input:
            sidecars=lambda wildcards: [
                path.as_posix()
                for path in STUDY.runs[wildcards.run].fieldmap.sidecars[int(wildcards.index)]
            ],
            checked=checked,
        output:
            merged=f"{WORK}/{{folder}}/{{run}}_fieldmap-{{index}}.json",
        log:
            f"{LOGS}/{{folder}}/{{run}}_fieldmap-{{index}}_sidecar.log",
        priority: 2
        resources:
            mem_mb=grows(450),
            runtime=grows(5),
        shell:
            "tmsprep stage merge-sidecars --sidecar {input.sidecars:q} --out-merged {output.merged:q} > {log:q} 2>&1"

    rule fieldmap:
        "The field map of a run, in Hz on its reference grid."
        input:
            images=lambda wildcards: [path.as_posix() for path in raw_run(wildcards).fieldmap.images],
            sidecars=lambda wildcards: [
                f"{WORK}/{wildcards.folder}/{wildcards.run}_fieldmap-{index}.json"
                for index in range(len(raw_run(wildcards).fieldmap.images))
            ],
            boldref=f"{PRE_FUNC}_desc-hmc_boldref.nii.gz",
        output:
            fieldmap=f"{PRE}/{{folder}}/fmap/{{run}}_desc-preproc_fieldmap.nii.gz",
            reference=f"{PRE}/{{folder}}/fmap/{{run}}_desc-magnitude_fieldmap.nii.gz",
        params:
            kind=lambda wildcards: raw_run(wildcards).fieldmap.kind,
        log:
            f"{LOGS}/{{folder}}/{{run}}_fieldmap.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{run}}_fieldmap.tsv"
        priority: 3
        resources:
            mem_mb=needs_of_field_map,
            runtime=grows(30),
        shell:
            "tmsprep stage fieldmap --kind {params.kind} --images {input.images:q} --sidecars {input.sidecars:q}"
            " --boldref {input.boldref:q} --out-fieldmap {output.fieldmap:q} --out-reference {output.reference:q}"
            " > {log:q} 2>&1"


def fieldmap_of(run):
    "The run's prepared field map, or nothing."
    if STUDY.runs[run].fieldmap is None:
        return []
    return f"{PRE}/{folder_of_stem(run)}/fmap/{run}_desc-preproc_fieldmap.nii.gz"


def of_bold(wildcards, ending):
    "A file of the run that an echo belongs to."
    return f"{PRE}/{wildcards.folder}/func/{STUDY.bolds[wildcards.bold][0].stem}_{ending}"
