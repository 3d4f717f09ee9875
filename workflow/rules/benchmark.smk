# Benchmarks that end up in results/. They are asked for by name: no stage of dvc.yaml, and not part of `all`.
rule triangulation_accuracy:
    input:
        code=[
            "tests/benchmarks/cmu_mocap.py",
            "tests/benchmarks/triangulation_accuracy.py",
            *sorted({*code("simulate"), *code("triangulate")}),
        ],
    output:
        "results/benchmarks/triangulation_accuracy.csv",
    log:
        "logs/benchmarks/triangulation_accuracy.log",
    threads: 2
    shell:
        "python tests/benchmarks/triangulation_accuracy.py --threads {threads} --output {output} &> {log}"


# Cases and seeds of tests/benchmarks/training_accuracy.py.
TRAININGS = [
    f"{case}-s{seed}"
    for case in (
        "default oracle oracle-missed oracle-shuffled oracle-no-cameras robust-labels dlt-labels published "
        "published-new-adam published-one-loss published-no-lens published-in-order no-cameras no-flips averaging "
        "trust mpjpe reprojection encoder-decoder temporal"
    ).split()
    for seed in range(3)
]
CODE_OF_TRAININGS = [
    "tests/benchmarks/cmu_mocap.py",
    "tests/benchmarks/training_accuracy.py",
    *sorted({*code("simulate"), *code("triangulate"), *code("train")}),
]


rule training_labels:
    input:
        code=CODE_OF_TRAININGS,
    output:
        temp("results/benchmarks/training/labels.npz"),
    shell:
        "python tests/benchmarks/training_accuracy.py labels {output}"


rule training_of_case:
    input:
        code=CODE_OF_TRAININGS,
        labels=rules.training_labels.output,
    output:
        "results/benchmarks/training/{case}-s{seed}.json",
    log:
        "logs/benchmarks/training-{case}-s{seed}.log",
    shell:
        "python tests/benchmarks/training_accuracy.py train {wildcards.case} {wildcards.seed} {input.labels} {output}"
        " &> {log}"


rule training_accuracy:
    input:
        expand("results/benchmarks/training/{training}.json", training=TRAININGS),
    output:
        "results/benchmarks/training_accuracy.csv",
    log:
        "logs/benchmarks/training_accuracy.log",
    shell:
        "python tests/benchmarks/training_accuracy.py table {input} --output {output} &> {log}"


# Those of its cases that ask what minutes of a processor buy.
BUDGETS = [
    f"{case}-s{seed}"
    for case in (
        "single-1min narrow-1min wide-1min wide-5min wide-20min tuned-1min tuned-5min tuned-slowly-2min "
        "tuned-slowly-5min tuned-faster-1min tuned-fastest-1min tuned-last-1min few-1min few-tuned-1min short-1min "
        "short-tuned-1min short-tuned-bent-1min"
    ).split()
    for seed in range(3)
]


rule budgets:
    input:
        expand("results/benchmarks/training/{training}.json", training=BUDGETS),
    output:
        table="results/benchmarks/budgets.csv",
        figure="results/benchmarks/budgets.png",
    log:
        "logs/benchmarks/budgets.log",
    shell:
        "python tests/benchmarks/training_accuracy.py table {input} --output {output.table}"
        " --figure {output.figure} &> {log}"
