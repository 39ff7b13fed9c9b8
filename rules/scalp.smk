# The scalp, its landmarks, and Beam F3 on it.
from tmsprep.scalp.tape import has_columns


rule scalp:
    "Head mask, scalp surface and fiducials of a T1w."
    input:
        t1w=STUDY.contract(Anatomy.T1W),
        t1w_to_mni=STUDY.contract(Anatomy.T1W_TO_MNI),
        fiducials=FIDUCIALS,
        described=ancient(f"{OUT}/dataset_description.json"),
    output:
        head_mask=f"{OUT}/{{folder}}/anat/{{anat}}_space-T1w_desc-head_mask.nii.gz",
        scalp=SCALP,
        fiducials=f"{NIBS}/{{anat}}_fiducials.tsv",
    params:
        fiducials=option("--fiducials-file", FIDUCIALS),
    log:
        f"{LOGS}/{{folder}}/{{anat}}_scalp.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{anat}}_scalp.tsv"
    priority: 9
    resources:
        mem_mb=needs("scalp"),
        runtime=grows(15),
    shell:
        "tmsprep stage scalp --t1w {input.t1w:q} --t1w-to-mni {input.t1w_to_mni:q} {params.fiducials:q}"
        " --out-head-mask {output.head_mask:q} --out-scalp {output.scalp:q} --out-fiducials {output.fiducials:q}"
        " > {log:q} 2>&1"


# Somebody's tape measurements, if the dataset has any. Without the columns the table is no input: a participant more must not
# make all others' anew.
TAPE = [
    path.as_posix()
    for path in (OPTIONS.bids_dir / "phenotype" / "beamf3.tsv", OPTIONS.bids_dir / "participants.tsv")
    if path.is_file() and has_columns(path)
][:1]


rule beamf3:
    "Tape lengths, Beam F3 and the 10-10 positions on the scalp."
    input:
        scalp=SCALP,
        fiducials=f"{NIBS}/{{anat}}_fiducials.tsv",
        tape=TAPE,
    output:
        result=f"{NIBS}/{{anat}}_beamf3.json",
        electrodes=f"{NIBS}/{{anat}}_electrodes.tsv",
        picture=f"{NIBS}/{{anat}}_scalp.png",
    params:
        tape=option("--tape", TAPE),
        participant=lambda wildcards: wildcards.anat.split("_")[0],
        variant=OPTIONS.beamf3_variant.value,
        plane=OPTIONS.circumference_plane.value,
        seed=OPTIONS.seed,
    log:
        f"{LOGS}/{{folder}}/{{anat}}_beamf3.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{anat}}_beamf3.tsv"
    priority: 10
    resources:
        mem_mb=needs("beamf3"),
        runtime=grows(15),
    shell:
        "tmsprep stage beamf3 --scalp {input.scalp:q} --fiducials {input.fiducials:q} --out-result {output.result:q}"
        " --out-electrodes {output.electrodes:q} --out-picture {output.picture:q} {params.tape:q} --participant {params.participant:q}"
        " --variant {params.variant} --circumference-plane {params.plane} --seed {params.seed}"
        " > {log:q} 2>&1"
