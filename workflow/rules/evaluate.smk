rule evaluate:
    input:
        captures=rules.ingest.output.captures,
        references=rules.ingest.output.references,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        weights=rules.train.output.weights,
        lifter=rules.train.output.lifter,
        code=code("evaluate"),
    output:
        metrics="results/{dataset}/{run}/metrics.json",
        per_recording=table("per_recording.csv"),
        per_action=table("per_action.csv"),
        per_joint=table("per_joint.csv"),
        per_view=table("per_view.csv"),
        by_confidence="results/{dataset}/{run}/by_confidence.csv",
        by_angle="results/{dataset}/{run}/by_angle.csv",
        distribution="results/{dataset}/{run}/distribution.csv",
        markdown="results/{dataset}/{run}/table.md",
        latex="results/{dataset}/{run}/table.tex",
        predictions="results/{dataset}/{run}/predictions.nc",
        provenance=provenance("results/{dataset}/{run}/provenance/evaluate.json"),
    log:
        "logs/{dataset}/{run}/evaluate.log",
    threads: share_of_cores(len(DATASETS) * len(RUNS))
    params:
        simulated=simulated,
        settings=settings("evaluate"),
        split=dataset_section("split"),
    shell:
        "python -m trilift evaluate {wildcards.dataset} --run {wildcards.run} --log {log}"
