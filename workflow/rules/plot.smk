FIGURES = (
    "pseudo_labels training error_per_joint error_per_action error_per_view error_distribution error_by_condition poses"
).split()


# The videos of which it shows frames are no inputs: captures are made of them, and change with them.
rule plot:
    input:
        captures=rules.ingest.output.captures,
        references=rules.ingest.output.references,
        pseudo_labels=rules.triangulate.output.pseudo_labels,
        views=rules.triangulate.output.views,
        keypoints=rules.triangulate.output.keypoints,
        bones=rules.triangulate.output.bones,
        history=of_main(rules.train.output.history),
        metrics=of_main(rules.evaluate.output.metrics),
        per_joint=of_main(rules.evaluate.output.per_joint),
        per_action=of_main(rules.evaluate.output.per_action),
        per_view=of_main(rules.evaluate.output.per_view),
        by_confidence=of_main(rules.evaluate.output.by_confidence),
        by_angle=of_main(rules.evaluate.output.by_angle),
        distribution=of_main(rules.evaluate.output.distribution),
        per_recording=of_main(rules.evaluate.output.per_recording),
        table=of_main(rules.evaluate.output.markdown),
        predictions=of_main(rules.evaluate.output.predictions),
        records=records_of_data,
        record_of_train=of_main(rules.train.output.provenance),
        record_of_evaluate=of_main(rules.evaluate.output.provenance),
        code=code("plot"),
    output:
        pseudo_labels=figure("figures/pseudo_labels.png"),
        training=figure("figures/training.png"),
        error_per_joint=figure("figures/error_per_joint.png"),
        error_per_action=figure("figures/error_per_action.png"),
        error_per_view=figure("figures/error_per_view.png"),
        error_distribution=figure("figures/error_distribution.png"),
        error_by_condition=figure("figures/error_by_condition.png"),
        poses=figure("figures/poses.png"),
        animation=figure("figures/animation.gif"),
        viewer=figure("viewer.html"),
        report=figure("report.html"),
        vector=expand(
            "results/{{dataset}}/main/figures/{figure}.pdf",
            figure=FIGURES,
        ),
        provenance=provenance("results/{dataset}/main/provenance/plot.json"),
    log:
        "logs/{dataset}/plot.log",
    params:
        simulated=simulated,
        settings=settings("plot"),
        source=dataset_section("ingest"),
        split=dataset_section("split"),
    shell:
        "python -m trilift plot {wildcards.dataset} --log {log}"
