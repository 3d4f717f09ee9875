rule simulate:
    input:
        code=code("simulate"),
    output:
        detections="data/raw/demo/detections.npz",
        reference="data/raw/demo/reference.npz",
    params:
        settings=settings("simulate"),
        seed=settings("seed"),
    log:
        "logs/demo/simulate.log",
    shell:
        "python -m trilift simulate demo --log {log}"
