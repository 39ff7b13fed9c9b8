# The fMRIPrep engine: what all participants share is prepared once, where there is internet; then one job a participant
# (or session: a T1w with its runs); then links that give its outputs the contract's fixed names.
LINKS = STUDY.contract_root.as_posix()
LINKS_FUNC = f"{LINKS}/{{folder}}/func"
IMAGE = f"{WORK}/fmriprep_image.json" if STUDY.engine is Engine.FMRIPREP else []
FMRIPREP = STUDY.preproc.as_posix()
TEMPLATEFLOW = (OPTIONS.templateflow_home or OPTIONS.work / "templateflow").as_posix()
LICENSE = [path.as_posix()] if (path := license_file(OPTIONS)) else []
RECEIPT = f"{OUT}/prov/{{folder}}/{{anat}}_fmriprep.json"


def job_images(wildcards):
    "All echoes of all runs that are registered to a T1w; each run's by ascending echo time."
    return [echo.path.as_posix() for run in job_runs(wildcards) for echo in run.echoes]


def job_runs(wildcards):
    return [run for unit in STUDY.units_of_anat(wildcards.anat) for run in unit.runs]


def job_reads(wildcards):
    "What else fMRIPrep reads: sidecars and field maps, so that a changed one is noticed."
    units = STUDY.units_of_anat(wildcards.anat)
    paths = [path for unit in units for path in unit.t1w_sidecars]
    for run in job_runs(wildcards):
        paths += [path for echo in run.echoes for path in echo.sidecars]
        if run.fieldmap:
            paths += [*run.fieldmap.images, *(path for group in run.fieldmap.sidecars for path in group)]
    return sorted({path.as_posix() for path in paths})


def job_checks(wildcards):
    return [
        f"{WORK}/{unit_folder(unit)}/{unit_stem(unit)}_check.json" for unit in STUDY.units_of_anat(wildcards.anat)
    ]


def receipt_of(anat):
    return RECEIPT.format(folder=folder_of_stem(anat), anat=anat)


def names(outputs):
    "The contract's names of links."
    return [os.path.relpath(path, LINKS) for path in outputs]


if STUDY.engine is Engine.FMRIPREP:

    localrules:
        fmriprep_image,
        templateflow,
        fsaverage,

    rule fmriprep_image:
        "Choose the runtime, fetch fMRIPrep's image, verify it. Needs internet if the image is not here."
        output:
            image=IMAGE,
        params:
            runtime=OPTIONS.container_runtime.value,
            image=option("--image", OPTIONS.fmriprep_image),
        log:
            f"{LOGS}/fmriprep_image.log",
        priority: 20
        resources:
            mem_mb=grows(1000),
            runtime=grows(240),
        shell:
            "tmsprep stage fmriprep-image --container-runtime {params.runtime} {params.image:q}"
            " --out-image {output.image:q} > {log:q} 2>&1"

    rule templateflow:
        "The templates that fMRIPrep asks for. Needs internet for those that are not here."
        input:
            image=IMAGE,
        output:
            files=f"{WORK}/templateflow.json",
        params:
            home=TEMPLATEFLOW,
            surfaces="--surfaces" if OPTIONS.surfaces else "--no-surfaces",
        log:
            f"{LOGS}/templateflow.log",
        priority: 20
        resources:
            mem_mb=grows(1000),
            runtime=grows(120),
        shell:
            "tmsprep stage templateflow --image {input.image:q} --home {params.home:q} {params.surfaces}"
            " --out-list {output.files:q} > {log:q} 2>&1"

    rule fsaverage:
        "FreeSurfer's average, copied once: parallel jobs would each write it."
        input:
            image=IMAGE,
        output:
            files=f"{WORK}/fsaverage.json",
        params:
            subjects=f"{FMRIPREP}/sourcedata/freesurfer",
        log:
            f"{LOGS}/fsaverage.log",
        priority: 20
        resources:
            mem_mb=grows(1000),
            runtime=grows(30),
        shell:
            "tmsprep stage fsaverage --image {input.image:q} --subjects-dir {params.subjects:q}"
            " --out-list {output.files:q} > {log:q} 2>&1"

    rule fmriprep:
        "One T1w and its runs through fMRIPrep; published only if all that later stages need is there."
        input:
            image=IMAGE,
            t1w=lambda wildcards: STUDY.anats[wildcards.anat].t1w.as_posix(),
            bold=job_images,
            read=job_reads,
            checked=job_checks,
            license_file=LICENSE,
            templateflow=f"{WORK}/templateflow.json",
            fsaverage=f"{WORK}/fsaverage.json" if OPTIONS.surfaces else [],
            filters=str(OPTIONS.bids_filter_file) if OPTIONS.bids_filter_file else [],
            described=ancient(f"{FMRIPREP}/dataset_description.json"),
        output:
            receipt=RECEIPT,
        params:
            bids_dir=OPTIONS.bids_dir.as_posix(),
            dataset=FMRIPREP,
            job_dir=f"{WORK}/fmriprep/{{anat}}",
            templateflow=TEMPLATEFLOW,
            seed=OPTIONS.seed,
            dummy=option("--dummy-scans", OPTIONS.dummy_scans),
            extra=[f"--extra={OPTIONS.fmriprep_options}"] if OPTIONS.fmriprep_options else [],
            report=lambda wildcards: [
                "--own-report"
                if STUDY.anats_of_subject[STUDY.anats[wildcards.anat].subject] > 1
                else "--no-own-report"
            ],
            fsaverage=lambda wildcards, input: option("--fsaverage", input.fsaverage),
            filters=lambda wildcards, input: option("--bids-filter-file", input.filters),
            read=lambda wildcards, input: option("--read", input.read),
        log:
            f"{LOGS}/{{folder}}/{{anat}}_fmriprep.log",
        benchmark:
            f"{BENCHMARKS}/{{folder}}/{{anat}}_fmriprep.tsv"
        priority: 2
        threads: OPTIONS.fmriprep_threads
        resources:
            mem_mb=grows(OPTIONS.fmriprep_mem_mb),
            runtime=grows(24 * 60 if OPTIONS.surfaces else 12 * 60),
        shell:
            "tmsprep stage fmriprep --image {input.image:q} --anat {wildcards.anat} --t1w {input.t1w:q}"
            " --bold {input.bold:q} {params.read:q} --license-file {input.license_file:q}"
            " --templateflow-list {input.templateflow:q} --bids-dir {params.bids_dir:q} --dataset {params.dataset:q}"
            " --job-dir {params.job_dir:q} --templateflow {params.templateflow:q} --threads {threads}"
            " --mem-mb {resources.mem_mb} --seed {params.seed} {params.dummy:q} {params.fsaverage:q} {params.filters:q}"
            " {params.extra:q} {params.report} --out-receipt {output.receipt:q} > {log:q} 2>&1"

    LINK = (
        "tmsprep stage link-preprocessed --receipt {input.receipt:q} --dataset {params.dataset:q}"
        " --name {params.names:q} --out-link {output:q} > {log:q} 2>&1"
    )

    rule link_anatomy:
        "A T1w's contract files under their fixed names."
        input:
            receipt=RECEIPT,
        output:
            [STUDY.contract(item) for item in (*Anatomy, NLIN6_TO_T1W)],
        params:
            dataset=FMRIPREP,
            names=lambda wildcards, output: names(output),
        log:
            f"{LOGS}/{{folder}}/{{anat}}_link.log",
        priority: 3
        resources:
            mem_mb=grows(500),
            runtime=grows(5),
        shell:
            LINK

    rule link_run:
        "A run's contract files under their fixed names."
        input:
            receipt=lambda wildcards: receipt_of(STUDY.anat_of_run(wildcards.run)),
        output:
            [STUDY.contract(item) for item in Functional],
        params:
            dataset=FMRIPREP,
            names=lambda wildcards, output: names(output),
        log:
            f"{LOGS}/{{folder}}/{{run}}_link.log",
        priority: 3
        resources:
            mem_mb=grows(500),
            runtime=grows(5),
        shell:
            LINK

    rule link_bold:
        "The preprocessed series of an echo, or of a single-echo run, and its sidecar."
        input:
            receipt=lambda wildcards: receipt_of(STUDY.anat_of_run(STUDY.bolds[wildcards.bold][0].stem)),
        output:
            STUDY.contract(BOLD),
            STUDY.contract(BOLD).replace(".nii.gz", ".json"),
        params:
            dataset=FMRIPREP,
            names=lambda wildcards, output: names(output),
        log:
            f"{LOGS}/{{folder}}/{{bold}}_link.log",
        priority: 3
        resources:
            mem_mb=grows(500),
            runtime=grows(5),
        shell:
            LINK
