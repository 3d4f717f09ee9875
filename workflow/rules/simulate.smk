# A data set whose file says what is filmed. Asked for by what is made of it: no stage of dvc.yaml.
rule simulate_as_described:
    input:
        motion=files_of_motion,
        code=code("simulate"),
    output:
        detections="data/raw/{dataset}/simulated_detections.nc",
        reference="data/raw/{dataset}/simulated_poses.nc",
        provenance=provenance("results/{dataset}/provenance/simulate.json"),
    log:
        "logs/{dataset}/simulate.log",
    wildcard_constraints:
        dataset=r"(?!demo/)[A-Za-z0-9][A-Za-z0-9_-]*",
    params:
        simulated=True,
        settings=dataset_section("simulate"),
        source=dataset_section("ingest"),
        seed=settings("seed"),
    shell:
        "python -m trilift simulate {wildcards.dataset} --log {log}"


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
