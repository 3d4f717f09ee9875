rule train:
    input:
        captures=rules.ingest.output.captures,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        start=START,
        code=code("train"),
    output:
        weights="results/{dataset}/{run}/lifter.safetensors",
        lifter="results/{dataset}/{run}/lifter.json",
        history="results/{dataset}/{run}/history.csv",
        provenance=provenance("results/{dataset}/{run}/provenance/train.json"),
    log:
        "logs/{dataset}/{run}/train.log",
    threads: TRAINING.threads
    resources:
        gpu=1,
    params:
        simulated=simulated,
        settings=settings("train"),
        split=dataset_section("split"),
        seed=lambda wildcards: settings("seed") if wildcards.run == "main" else None,
        losses=lambda wildcards: json.dumps(SWEEP.changes(wildcards.run), sort_keys=True),
    shell:
        "python -m trilift train {wildcards.dataset} --run {wildcards.run} --log {log}"
