# Who made the outputs, of what.


localrules:
    describe,


rule describe:
    "A derivative dataset's description, with the whole GeneratedBy chain."
    input:
        image=IMAGE,
    output:
        description=f"{OPTIONS.output_dir.as_posix()}/{{dataset}}/dataset_description.json",
        bidsignore=f"{OPTIONS.output_dir.as_posix()}/{{dataset}}/.bidsignore",
    wildcard_constraints:
        dataset="tmsprep|tedana|tmsprep-builtin|fmriprep",
    params:
        links=lambda wildcards: [f"{name}={path}" for name, path in STUDY.links(wildcards.dataset).items()],
        image=lambda wildcards, input: option("--image", input.image),
    log:
        f"{LOGS}/describe_{{dataset}}.log",
    priority: 20
    resources:
        mem_mb=grows(450),
        runtime=grows(5),
    shell:
        "tmsprep stage describe --dataset {wildcards.dataset} --link {params.links:q} {params.image:q}"
        " --out-description {output.description:q} --out-bidsignore {output.bidsignore:q} > {log:q} 2>&1"
