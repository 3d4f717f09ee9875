rule train:
    input:
        captures=rules.ingest.output.captures,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        code=code("train"),
    output:
        weights="results/{dataset}/main/lifter.safetensors",
        lifter="results/{dataset}/main/lifter.json",
        history="results/{dataset}/main/history.csv",
        provenance=report(
            "results/{dataset}/main/provenance/train.json",
            caption="../report/provenance.rst",
            category=category,
            subcategory="provenance",
        ),
    log:
        "logs/{dataset}/train.log",
    threads: THREADS_OF_TRAINING
    resources:
        gpu=1,
    params:
        simulated=simulated,
        settings=settings("train"),
        split=dataset_section("split"),
        seed=settings("seed"),
    shell:
        "python -m trilift train {wildcards.dataset} --log {log}"
