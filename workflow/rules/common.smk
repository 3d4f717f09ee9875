"""What the rules share: settings and code files as inputs."""

import json
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from trilift.project import params
from trilift.errors import InputError
from trilift.formats.source import Source
from trilift.project.layout import Layout
from trilift.project.stages import SECTIONS, STAGES, stages_of_data
from trilift.simulate.settings import Studio
from trilift.train.settings import TrainingSettings
from trilift.train.runs import Sweep, of_run, own_files_of_start


@contextmanager
def refusing():
    """Let the reason why nothing is run stand last on the screen, without the lines of the rules that led there."""
    try:
        yield
    except (InputError, RuntimeError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


with refusing():
    if config:
        raise InputError("settings are in params.yaml: edit them there (--config is unknown to DVC)")
    SETTINGS = params.read_yaml(Path("params.yaml"))
    DVC_STAGES = params.read_yaml(Path("dvc.yaml"))["stages"]
    DATASETS = params.load_datasets(Path("params.yaml"))
    SWEEP = params.parse(Sweep, SETTINGS.get("sweep"), "params.yaml, section sweep")
    try:
        TRAINING = params.parse(TrainingSettings, SETTINGS.get("train"), "params.yaml, section train")
    except InputError:
        TRAINING = TrainingSettings()  # such settings are refused before anything runs
    START = [str(path) for path in own_files_of_start(Layout("any"), TRAINING)]
    sources = {name: params.load_dataset(Layout(name).dataset_file, "ingest", Source) for name in DATASETS}
    VIDEOS = {name for name, source in sources.items() if source.detections.of_videos}
    UNCALIBRATED = {name for name, source in sources.items() if source.cameras.by_people}
    for key, which, expected in (
        ("videos", "begin with videos", VIDEOS),
        ("uncalibrated", "begin with detections and have no calibration", UNCALIBRATED - VIDEOS),
        ("uncalibrated_videos", "begin with videos and have no calibration", UNCALIBRATED & VIDEOS),
    ):
        if key not in SETTINGS:
            raise InputError(
                f"params.yaml: lacks the list `{key}`, of those of the `datasets` that {which}: {key}: []"
            )
        stated = params.load_datasets(Path("params.yaml"), key)
        if set(stated) != expected:
            raise InputError(
                f"params.yaml: `{key}` lists those of the `datasets` that {which}, for DVC, which cannot tell: "
                f"expected {sorted(expected)}, but it is {stated}"
            )
RUNS = ["main", *SWEEP.runs]
CORES = workflow.resource_settings.cores or 1  # not given: nothing is run here, or a cluster's profile says it


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    run=r"main|[A-Za-z0-9_+-]+-s\d+",


def settings(section):
    """A section of params.yaml as one text: Snakemake would not see two values swapped."""
    return json.dumps(SETTINGS.get(section), sort_keys=True)


@cache
def dataset_file(dataset):
    try:
        return params.read_dataset(Path(f"workflow/datasets/{dataset}.yaml"))
    except InputError as error:
        raise WorkflowError(str(error)) from None


def dataset_section(section):
    """The same for a section of a data set's file."""

    def of_wildcards(wildcards):
        source(wildcards.dataset)  # a message, if there is no such data set
        return json.dumps(dataset_file(wildcards.dataset).get(section), sort_keys=True)

    return of_wildcards


def code(stage):
    """The code that a stage runs, file by file: dvc.yaml lists folders, into which Snakemake does not look."""
    listed = [Path(path) for path in DVC_STAGES[stage]["deps"] if path.startswith("src/")]
    files = [file for path in listed for file in (path.rglob("*") if path.is_dir() else [path])]
    return sorted(str(file) for file in files if file.is_file() and "__pycache__" not in file.parts)


@cache
def source(dataset):
    try:
        return params.load_dataset(Path(f"workflow/datasets/{dataset}.yaml"), "ingest", Source)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def share_of_cores(jobs):
    """Threads of each of so many jobs that can run at once; DVC runs one. Results do not depend on them."""
    return CORES if "DVC_STAGE" in os.environ else max(1, CORES // max(1, jobs))


def of_main(path):
    """The file of the main run."""
    return path.replace("{run}", "main")


def reported(path, caption, section):
    """A file that the report shows: in a section of its data set, or under the run of the sweep that made it."""

    def category(wildcards):
        dataset = wildcards.get("dataset", "demo")  # simulate makes this one
        return f"{dataset} (SIMULATED)" if source(dataset).simulated else dataset

    def subcategory(wildcards):
        run = wildcards.get("run", "main")
        return section if run == "main" else f"sweep: {run}"

    return report(path, caption=caption, category=category, subcategory=subcategory)


CAPTIONS = "../../src/trilift/plot/captions"  # the stage `plot` shows them too


def figure(path):
    return reported(f"results/{{dataset}}/main/{path}", f"{CAPTIONS}/{Path(path).stem}.rst", "figures")


def table(name):
    return reported(f"results/{{dataset}}/{{run}}/{name}", f"{CAPTIONS}/tables.rst", "tables")


def provenance(path):
    return reported(path, "../report/provenance.rst", "provenance")


def simulated(wildcards):
    """For the captions of the report."""
    return source(wildcards.dataset).simulated


def raw(wildcards):
    return Layout(wildcards.dataset).raw


def raw_files(wildcards):
    """The files that ingest reads of data/raw."""
    return [str(path) for path in source(wildcards.dataset).files(raw(wildcards))]


def raw_folders(wildcards):
    """A digest of the folders that ingest reads of data/raw: Snakemake does not look into folders."""
    return source(wildcards.dataset).digest(raw(wildcards))


def files_to_calibrate(wildcards):
    """Those of them that calibrate reads."""
    return [str(path) for path in source(wildcards.dataset).files_to_calibrate(raw(wildcards))]


def records_of_data(wildcards):
    """What made the data of a data set: provenance/<stage>.json of all stages that it has."""
    of = source(wildcards.dataset)
    stages = stages_of_data(wildcards.dataset, of.detections.of_videos, of.cameras.by_people)
    return [f"results/{wildcards.dataset}/provenance/{stage}.json" for stage in stages]


def files_of_motion(wildcards):
    """The captured motion that a data set is simulated from."""
    file = Path(f"workflow/datasets/{wildcards.dataset}.yaml")
    try:
        return [str(path) for path in params.load_dataset(file, "simulate", Studio).files(raw(wildcards))]
    except InputError as error:
        raise WorkflowError(str(error)) from None


def files_of_video(wildcards):
    try:
        return [str(file) for file in source(wildcards.dataset).files_of_videos(raw(wildcards), wildcards.video)]
    except KeyError:
        raise WorkflowError(f"data set {wildcards.dataset} has no video {wildcards.video}") from None


def files_of_videos(wildcards):
    return [str(file) for file in source(wildcards.dataset).files_of_videos(raw(wildcards))]


def parts_of_videos(wildcards):
    videos = source(wildcards.dataset).videos(raw(wildcards))
    return [str(Layout(wildcards.dataset).part(video)) for video in videos]


def check_settings(jobs):
    """Refuse wrong settings before Snakemake removes the outputs of the jobs that are to run."""
    by_stage = {stage: [job for job in jobs if job.rule.name == stage] for stage in DVC_STAGES}
    for stage in [stage for stage in by_stage if by_stage[stage] and stage in SECTIONS]:
        params.load(Path("params.yaml"), stage, STAGES[stage].load_settings())
    params.load_seed(Path("params.yaml"))
    for run in {job.wildcards.run for job in by_stage["train"]}:
        of_run(Path("params.yaml"), run)
    ingested = {job.wildcards.dataset for job in by_stage["ingest"]}
    for dataset in {job.wildcards.dataset for job in by_stage["train"] + by_stage["evaluate"]}:
        check_split(Layout(dataset), known=dataset not in ingested)


def check_split(layout, known):
    """Refuse a wrong split, of unknown names too where it is known whom a data set shows."""
    from trilift.captures import reading, splits  # takes a second, and every job reads these rules

    split = params.load_dataset(layout.dataset_file, "split", splits.Split)
    if known:
        with reading.read(layout.captures, "captures") as detections:
            splits.check_names(detections, split, str(layout.dataset_file))


def tell_of_warnings(dag):
    logs = sorted({Path(path) for job in dag.jobs if dag.finished(job) for path in job.log})
    for line in screen.warnings_in(logs):
        print(line, file=sys.stderr)


def tell_of_results(dag):
    """Of main runs that were evaluated or drawn now, and of sweeps. DVC runs what draws them last."""
    last = ("plot",) if "DVC_STAGE" in os.environ else ("plot", "evaluate")
    made = [job for job in dag.jobs if dag.finished(job)]
    datasets = {
        job.wildcards.dataset for job in made if job.rule.name in last and job.wildcards.get("run", "main") == "main"
    }
    for dataset in sorted(datasets):
        print("", *screen.result(Layout(dataset).results), sep="\n", file=sys.stderr)
    for job in made:
        if job.rule.name == "sweep":
            print(f"\nSweep: {job.output.table}, {job.output.figure}", file=sys.stderr)


def end_with_reasons(failed):
    """Let what stopped the stages stand last on the screen, without what Snakemake says about it."""
    logs = {path: read_log(path) for job in failed for path in job.log}
    reasons = [reason for text in logs.values() for reason in REASON.findall(text)]
    if not reasons:  # a crash, or a log that could not be written
        reasons = [f"{path} ends with:\n{''.join(text.splitlines(True)[-15:])}" for path, text in logs.items()]
    if reasons:
        print("".join(["\n", *reasons]), end="", file=sys.stderr)
        raise SystemExit(1)


REASON = re.compile(r"^trilift \w+: .*\Z", re.MULTILINE | re.DOTALL)  # what a log ends with


def read_log(path):
    try:
        return Path(path).read_text("utf-8")
    except OSError:  # nothing was written
        return ""
