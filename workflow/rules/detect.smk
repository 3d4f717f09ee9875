# Each video by itself, and then all of a data set in one file. Only data sets that begin with videos ask for it.
rule detect_video:
    input:
        video=files_of_video,
        code=code("detect"),
    output:
        temp(".trilift/detections/{dataset}/{video}.nc"),
    log:
        "logs/{dataset}/detect/{video}.log",
    resources:
        gpu=int((SETTINGS.get("detect") or {}).get("detector") == "rtmpose"),
    params:
        settings=settings("detect"),
        fps=lambda wildcards: source(wildcards.dataset).fps,
    shell:
        "python -m trilift detect {wildcards.dataset} --video {wildcards.video:q} --log {log:q}"


rule detect:
    input:
        videos=files_of_videos,
        parts=parts_of_videos,
        code=code("detect"),
    output:
        detections="data/raw/{dataset}/detections_of_videos.nc",
        provenance=provenance("results/{dataset}/provenance/detect.json"),
    log:
        "logs/{dataset}/detect.log",
    params:
        simulated=simulated,
        settings=settings("detect"),
        source=dataset_section("ingest"),
    shell:
        "python -m trilift detect {wildcards.dataset} --log {log}"
