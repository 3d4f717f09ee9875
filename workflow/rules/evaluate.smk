rule evaluate:
    input:
        captures=rules.ingest.output.captures,
        references=rules.ingest.output.references,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        weights=rules.train.output.weights,
        lifter=rules.train.output.lifter,
        code=code("evaluate"),
    output:
        metrics="results/{dataset}/main/metrics.json",
        per_recording="results/{dataset}/main/per_recording.csv",
        per_action="results/{dataset}/main/per_action.csv",
        per_joint="results/{dataset}/main/per_joint.csv",
        per_view="results/{dataset}/main/per_view.csv",
        by_confidence="results/{dataset}/main/by_confidence.csv",
        by_angle="results/{dataset}/main/by_angle.csv",
        distribution="results/{dataset}/main/distribution.csv",
        markdown="results/{dataset}/main/table.md",
        latex="results/{dataset}/main/table.tex",
        predictions="results/{dataset}/main/predictions.nc",
    log:
        "logs/{dataset}/evaluate.log",
    threads: THREADS_OF_TRAINING
    params:
        settings=settings("evaluate"),
        split=dataset_section("split"),
    shell:
        "python -m trilift evaluate {wildcards.dataset} --log {log}"
