# Only data sets whose cameras nobody calibrated ask for it.
rule calibrate:
    input:
        raw=files_to_calibrate,
        code=code("calibrate"),
    output:
        cameras="data/raw/{dataset}/cameras_of_people.toml",
        table=reported("results/{dataset}/rig/cameras.csv", "../report/rig.rst", "cameras"),
        figure=reported("results/{dataset}/rig/rig.png", "../report/rig.rst", "cameras"),
        provenance=provenance("results/{dataset}/provenance/calibrate.json"),
    log:
        "logs/{dataset}/calibrate.log",
    threads: share_of_cores(len(DATASETS))
    params:
        simulated=simulated,
        source=dataset_section("ingest"),
        raw_folders=raw_folders,
    shell:
        "python -m trilift calibrate {wildcards.dataset} --log {log}"
