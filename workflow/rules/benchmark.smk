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
        "python tests/benchmarks/triangulation_accuracy.py --threads {threads} --output {output} 2>&1 | tee {log}"
