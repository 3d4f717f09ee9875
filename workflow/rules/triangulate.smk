rule triangulate:
    input:
        captures=rules.ingest.output.captures,
        code=code("triangulate"),
    output:
        pseudo_labels="data/pseudo_labels/{dataset}.nc",
        views="results/{dataset}/pseudo_labels/views.csv",
        keypoints="results/{dataset}/pseudo_labels/keypoints.csv",
        bones="results/{dataset}/pseudo_labels/bones.csv",
        recordings="results/{dataset}/pseudo_labels/recordings.csv",
        rig="results/{dataset}/pseudo_labels/rig.csv",
        provenance=provenance("results/{dataset}/provenance/triangulate.json"),
    log:
        "logs/{dataset}/triangulate.log",
    threads: share_of_cores(len(DATASETS))
    params:
        simulated=simulated,
        settings=settings("triangulate"),
    shell:
        "python -m trilift triangulate {wildcards.dataset} --log {log}"
