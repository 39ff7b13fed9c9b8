# What a navigator needs: entry, coil pose, and the frame they are in.


rule navigate:
    "Entry point, coil pose and depth of each candidate."
    input:
        t1w=lambda wildcards: STUDY.units[wildcards.unit].t1w.as_posix(),
        scalp=anat_output(SCALP),
        fiducials=anat_output(f"{NIBS}/{{anat}}_fiducials.tsv"),
        beamf3=anat_output(f"{NIBS}/{{anat}}_beamf3.json"),
        electrodes=anat_output(f"{NIBS}/{{anat}}_electrodes.tsv"),
        target=f"{NIBS}/{{unit}}_desc-circuit_target.json",
        gm=anat(Anatomy.GM),
        t1w_to_mni=anat(Anatomy.T1W_TO_MNI),
        brain_mask=anat(Anatomy.BRAIN_MASK),
    output:
        markers=f"{NIBS}/{{unit}}_markers.tsv",
        coordsystem=f"{NIBS}/{{unit}}_coordsystem.json",
    params:
        entry=OPTIONS.entry.value,
        angle=OPTIONS.handle_angle_deg,
        intended_for=lambda wildcards: f"bids:raw:{STUDY.units[wildcards.unit].t1w.relative_to(OPTIONS.bids_dir).as_posix()}",
    log:
        f"{LOGS}/{{folder}}/{{unit}}_navigate.log",
    benchmark:
        f"{BENCHMARKS}/{{folder}}/{{unit}}_navigate.tsv"
    priority: 11
    resources:
        mem_mb=needs("navigate"),
        runtime=grows(15),
    shell:
        "tmsprep stage navigate --t1w {input.t1w:q} --scalp {input.scalp:q} --fiducials {input.fiducials:q}"
        " --beamf3 {input.beamf3:q} --target {input.target:q} --gm {input.gm:q} --t1w-to-mni {input.t1w_to_mni:q}"
        " --brain-mask {input.brain_mask:q} --electrodes {input.electrodes:q}"
        " --intended-for {params.intended_for:q} --handle-angle-deg {params.angle} --entry {params.entry}"
        " --out-markers {output.markers:q} --out-coordsystem {output.coordsystem:q} > {log:q} 2>&1"
