"""The promises of both engines (`test_promises.py`), of data sets whose cameras people calibrate."""

import pytest
import yaml

ALL = {"calibrate", "ingest", "triangulate", "train", "evaluate", "plot"}
KINDS = ("walked", "filmed")  # detections, and videos
RECORDED = {"walked": "data/raw/walked/recorded", "filmed": "data/raw/filmed/videos"}
FILE = {"walked": "cam2.json", "filmed": "cam2.mp4"}


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="session")
def unmade(fresh, once, kind):
    """A project whose only data set has no calibration, tracked by `dvc add`; copy it, do not run in it."""

    def fill(path):
        project = fresh.copy(path)
        if kind == "filmed":
            project.add_videos(calibrated=False)
        else:
            project.add_recorded()
        project.run("dvc", "add", RECORDED[kind])
        project.commit()

    return once(f"unmade_without_calibration_{kind}", fill)


@pytest.fixture(scope="session")
def made(unmade, once, kind):
    """The same after snakemake has run in it, its dvc.lock in git; copy it, do not run in it."""

    def fill(path):
        project = unmade.copy(path)
        project.snakemake()
        project.commit()

    return once(f"made_without_calibration_{kind}", fill)


@pytest.fixture
def project(made, tmp_path):
    return made.copy(tmp_path / "project")


def test_after_snakemake_both_engines_find_nothing_to_do(made, kind):
    assert made.jobs() == made.changed() == made.dvc_would_run() == set()
    assert f"data/raw/{kind}/cameras_of_people.toml" in made.hashes()
    assert f"results/{kind}/provenance/calibrate.json" in made.hashes()


@pytest.mark.engines
def test_after_dvc_repro_snakemake_finds_nothing_to_do(unmade, made, tmp_path):
    project = unmade.copy(tmp_path / "project")
    project.run("dvc", "repro", "--no-run-cache")
    assert project.jobs() == project.changed() == set()
    assert project.hashes() == made.hashes()


@pytest.mark.engines
def test_what_is_recorded_anew_calibrates_anew(project, kind):
    file = project.path / RECORDED[kind] / FILE[kind]
    file.unlink()  # dvc may have linked it to its cache
    file.write_text("recorded again")
    project.run("dvc", "add", RECORDED[kind])
    first = {"detect", "detect_video"} if kind == "filmed" else set()
    assert project.jobs() == ALL | first
    stage = "calibrate_videos" if kind == "filmed" else "calibrate"
    assert project.changed() == {stage, "ingest"} | first - {"detect_video"}
    project.snakemake()
    assert project.jobs() == project.changed() == set()


@pytest.mark.engines
def test_another_stature_calibrates_anew(project, kind):
    project.set("ingest.cameras.stature_m", 1.8, f"workflow/datasets/{kind}.yaml")
    assert project.jobs() >= ALL
    project.run("dvc", "repro")
    assert project.jobs() == project.changed() == set()


def test_a_data_set_that_the_lists_lack_is_named(project, kind):
    key = "uncalibrated_videos" if kind == "filmed" else "uncalibrated"
    project.set(key, [])
    refused = project.run("snakemake", "-n", check=False)
    assert refused.returncode
    assert f"`{key}` lists those of the `datasets`" in refused.stdout
    assert f"expected ['{kind}'], but it is []" in refused.stdout


def test_settings_without_the_lists_are_told_what_to_add(project):
    file = project.path / "params.yaml"
    settings = yaml.safe_load(file.read_text())
    del settings["uncalibrated_videos"]
    file.write_text(yaml.safe_dump(settings))
    refused = project.run("snakemake", "-n", check=False)
    assert refused.returncode
    assert "params.yaml: lacks the list `uncalibrated_videos`" in refused.stdout


def test_other_data_sets_have_no_jobs_for_it(finished):
    assert "calibrate" not in finished.jobs("--forceall")
