rule ingest:
    input:
        raw=raw_files,
        code=code("ingest"),
    output:
        captures="data/captures/{dataset}.nc",
        references="data/references/{dataset}.nc",
        people=reported("results/{dataset}/people/people.csv", "../report/people.rst", "people"),
        seen=reported("results/{dataset}/people/seen.png", "../report/people.rst", "people"),
        provenance=provenance("results/{dataset}/provenance/ingest.json"),
    log:
        "logs/{dataset}/ingest.log",
    threads: share_of_cores(len(DATASETS))
    params:
        simulated=simulated,
        settings=settings("ingest"),
        source=dataset_section("ingest"),
        raw_folders=raw_folders,
    shell:
        "python -m trilift ingest {wildcards.dataset} --log {log}"
