# Trainings that differ in losses and seed, and their table. They are asked for by name: not part of `all`.
rule train_run:
    input:
        captures=rules.ingest.output.captures,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        code=code("train"),
    output:
        weights="results/{dataset}/{run}/lifter.safetensors",
        lifter="results/{dataset}/{run}/lifter.json",
        history="results/{dataset}/{run}/history.csv",
        provenance="results/{dataset}/{run}/provenance/train.json",
    log:
        "logs/{dataset}/train-{run}.log",
    wildcard_constraints:
        run=r"[A-Za-z0-9_+-]+-s\d+",
    threads: THREADS_OF_TRAINING
    resources:
        gpu=1,
    params:
        settings=settings("train"),
        split=dataset_section("split"),
        losses=lambda wildcards: json.dumps(SWEEP.losses.get(SWEEP.choice(wildcards.run)[0]), sort_keys=True),
    shell:
        "python -m trilift train {wildcards.dataset} --run {wildcards.run} --log {log}"


rule evaluate_run:
    input:
        captures=rules.ingest.output.captures,
        references=rules.ingest.output.references,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        weights=rules.train_run.output.weights,
        lifter=rules.train_run.output.lifter,
        code=code("evaluate"),
    output:
        metrics="results/{dataset}/{run}/metrics.json",
        per_recording="results/{dataset}/{run}/per_recording.csv",
        per_action="results/{dataset}/{run}/per_action.csv",
        per_joint="results/{dataset}/{run}/per_joint.csv",
        per_view="results/{dataset}/{run}/per_view.csv",
        by_confidence="results/{dataset}/{run}/by_confidence.csv",
        by_angle="results/{dataset}/{run}/by_angle.csv",
        distribution="results/{dataset}/{run}/distribution.csv",
        markdown="results/{dataset}/{run}/table.md",
        latex="results/{dataset}/{run}/table.tex",
        predictions="results/{dataset}/{run}/predictions.nc",
        provenance="results/{dataset}/{run}/provenance/evaluate.json",
    log:
        "logs/{dataset}/evaluate-{run}.log",
    wildcard_constraints:
        run=r"[A-Za-z0-9_+-]+-s\d+",
    threads: THREADS_OF_TRAINING
    params:
        settings=settings("evaluate"),
        split=dataset_section("split"),
    shell:
        "python -m trilift evaluate {wildcards.dataset} --run {wildcards.run} --log {log}"


rule sweep:
    input:
        metrics=lambda wildcards: expand(rules.evaluate_run.output.metrics, run=SWEEP.runs, allow_missing=True),
        histories=lambda wildcards: expand(rules.train_run.output.history, run=SWEEP.runs, allow_missing=True),
        code=[
            "src/trilift/stages/sweep.py",
            "src/trilift/figures/sweep.py",
            "src/trilift/figures/training.py",
            "src/trilift/sweep.py",
        ],
    output:
        table="results/{dataset}/sweep/table.csv",
        figure="results/{dataset}/sweep/mpjpe.png",
        curves="results/{dataset}/sweep/training.png",
        provenance="results/{dataset}/sweep/provenance/sweep.json",
    log:
        "logs/{dataset}/sweep.log",
    shell:
        "python -m trilift sweep {wildcards.dataset} --log {log}"
