"""Stands in for a stage in tests of the engines, which do not care what a file holds: loads nothing heavy.

A copy of this module takes the place of every `stage.py` in such a project. Every output that dvc.yaml names
then holds a hash of the stage's settings and inputs.
"""

import hashlib
import json

import yaml

from trilift.errors import InputError
from trilift.train.runs import of_run

STAGE = __name__.split(".")[-2]  # of trilift.<stage>.stage
OF_SWEEP = ("table.csv", "mpjpe.png", "training.png", "provenance/sweep.json")


def run(layout, device=None, video=None):
    if video is not None:
        return write([layout.part(video)], "")
    if STAGE == "sweep":
        return write([layout.project / f"results/{layout.dataset}/sweep/{name}" for name in OF_SWEEP], "")
    resolved = {"dataset": layout.dataset, "losses": "", "seed": ""}
    if layout.run != "main":
        resolved["losses"], _, resolved["seed"] = layout.run.rpartition("-s")
    text = (layout.project / "dvc.yaml").read_text()
    for name, value in resolved.items():
        text = text.replace(f"${{item.{name}}}", value)
    name = STAGE if layout.run == "main" else f"sweep_{STAGE}"
    if STAGE == "calibrate" and layout.detections.exists():
        name = "calibrate_videos"
    stage = yaml.safe_load(text)["stages"][name]
    inputs = [path for path in names(stage["deps"]) if not path.startswith("src/")]
    outputs = [layout.project / path for kind in ("outs", "metrics", "plots") for path in names(stage.get(kind, []))]
    write(outputs, digest(layout, stage["params"], inputs))


def names(entries):
    return [path for entry in entries for path in (entry if isinstance(entry, dict) else [entry])]


def digest(layout, params, inputs):
    made_of = hashlib.sha256()
    for entry in params:
        for file, sections in (entry if isinstance(entry, dict) else {"params.yaml": [entry.split(".")[0]]}).items():
            content = yaml.safe_load((layout.project / file).read_text())
            for section in sections:
                made_of.update(json.dumps(None if section == "sweep" else content.get(section)).encode())
    if STAGE == "train":
        settings, seed = of_run(layout.params, layout.run)
        made_of.update(json.dumps([settings.model_dump(), seed]).encode())
    for path in inputs:
        for file in files(layout.project / path):
            content = file.read_bytes()
            if content.startswith(b"damaged"):
                raise InputError(f"{file}: damaged")
            made_of.update(content)
    return made_of.hexdigest()


def files(path):
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def write(paths, text):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = int(text[:4] or "0", 16)
        path.write_text(json.dumps({"mpjpe_mm": number}) if path.suffix == ".json" else f"{path.name} {text}\n")
