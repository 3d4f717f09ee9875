rule simulate:
    input:
        code=code("simulate"),
    output:
        detections="data/raw/demo/detections.npz",
        reference="data/raw/demo/reference.npz",
        provenance=provenance("results/demo/provenance/simulate.json"),
    log:
        "logs/demo/simulate.log",
    params:
        simulated=True,
        settings=settings("simulate"),
        seed=settings("seed"),
    shell:
        "python -m trilift simulate demo --log {log}"
