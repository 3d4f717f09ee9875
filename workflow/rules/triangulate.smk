rule triangulate:
    input:
        captures=rules.ingest.output.captures,
        code=code("triangulate"),
    output:
        pseudo_labels="data/pseudo_labels/{dataset}.nc",
    params:
        settings=settings("triangulate"),
    log:
        "logs/{dataset}/triangulate.log",
    shell:
        "python -m trilift triangulate {wildcards.dataset} --log {log}"
