# The runs of the sweep side by side. Asked for by name: no stage of dvc.yaml, and not part of `all`.
rule sweep:
    input:
        metrics=lambda wildcards: expand(rules.evaluate.output.metrics, run=SWEEP.runs, allow_missing=True),
        histories=lambda wildcards: expand(rules.train.output.history, run=SWEEP.runs, allow_missing=True),
        code=[
            "src/trilift/sweep/stage.py",
            "src/trilift/sweep/figure.py",
            "src/trilift/plot/training.py",
            "src/trilift/style.py",
            "src/trilift/train/runs.py",
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
