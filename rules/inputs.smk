# What the dataset holds: the plan as a table, and the images' own checks.


localrules:
    plan,


rule plan:
    "Every participant, session and run of the dataset: processed or not, and why."
    input:
        plan=STUDY.plan_file.as_posix(),
        described=ancient(f"{OUT}/dataset_description.json"),
    output:
        table=f"{OUT}/plan.tsv",
    log:
        f"{LOGS}/plan.log",
    priority: 20
    resources:
        mem_mb=grows(500),
        runtime=grows(5),
    shell:
        "tmsprep stage plan --plan {input.plan:q} --out-table {output.table:q} > {log:q} 2>&1"


rule check:
    "Read every image of a participant before anything heavy starts."
    input:
        t1w=lambda wildcards: STUDY.units[wildcards.unit].t1w.as_posix(),
        bold=lambda wildcards: [
            echo.path.as_posix() for run in STUDY.units[wildcards.unit].runs for echo in run.echoes
        ],
        described=ancient(DESCRIPTIONS),
    output:
        report=f"{WORK}/{{folder}}/{{unit}}_check.json",
    params:
        tr=lambda wildcards: [
            run.repetition_time_s for run in STUDY.units[wildcards.unit].runs for echo in run.echoes
        ],
    log:
        f"{LOGS}/{{folder}}/{{unit}}_check.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{unit}}_check.tsv"
    priority: 1
    resources:
        mem_mb=needs("check"),
        runtime=grows(10),
    shell:
        "tmsprep stage check --t1w {input.t1w:q} --bold {input.bold:q} --repetition-time {params.tr}"
        " --out-report {output.report:q} > {log:q} 2>&1"
