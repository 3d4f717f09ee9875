rule triangulate:
    input:
        captures=rules.ingest.output.captures,
        code=code("triangulate"),
    output:
        pseudo_labels="data/pseudo_labels/{dataset}.nc",
    log:
        "logs/{dataset}/triangulate.log",
    params:
        settings=settings("triangulate"),
    shell:
        "python -m trilift triangulate {wildcards.dataset} --log {log}"
