"""The promises of both engines (`test_promises.py`), of a data set that begins with videos."""

import os
import shutil
import time

import pytest

takes_long = pytest.mark.engines
ALL = {"detect", "ingest", "triangulate", "train", "evaluate", "plot"}
ENGINES = [("snakemake", "--cores", "2"), ("dvc", "repro")]


@pytest.fixture(scope="session")
def unmade(fresh, once):
    """A project whose only data set begins with two videos, tracked by `dvc add`; copy it, do not run in it."""

    def fill(path):
        project = fresh.copy(path)
        project.add_videos()
        project.run("dvc", "add", "data/raw/filmed/videos")
        project.commit()

    return once("unmade_of_videos", fill)


@pytest.fixture(scope="session")
def made(unmade, once):
    """The same after snakemake has run in it, its dvc.lock in git; copy it, do not run in it."""

    def fill(path):
        project = unmade.copy(path)
        project.snakemake()
        project.commit()

    return once("made_of_videos", fill)


@pytest.fixture
def project(made, tmp_path):
    return made.copy(tmp_path / "project")


def edit(file, text):
    file.unlink()  # dvc may have linked it to its cache
    file.write_text(text)


def test_after_snakemake_both_engines_find_nothing_to_do(made):
    assert made.jobs() == made.changed() == made.dvc_would_run() == set()
    assert made.run("git", "ls-files", "data/raw").stdout.split() == ["data/raw/filmed/videos.dvc"]
    assert "data/raw/filmed/detections_of_videos.nc" in made.hashes()
    assert not list((made.path / ".trilift").rglob("*.nc"))  # what is found in each video is put together


@takes_long
def test_after_dvc_repro_snakemake_finds_nothing_to_do(unmade, made, tmp_path):
    project = unmade.copy(tmp_path / "project")
    project.run("dvc", "repro", "--no-run-cache")
    assert project.jobs() == project.changed() == set()
    assert project.hashes() == made.hashes()


@takes_long
def test_after_dvc_pull_snakemake_finds_nothing_to_do_and_sees_what_is_edited_then(project, tmp_path):
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    project.run("dvc", "push")
    project.commit()
    clone, edited = (project.clone(tmp_path / name) for name in ("clone", "edited"))
    for pulled in (clone, edited):
        pulled.run("dvc", "pull")
    assert clone.jobs() == clone.changed() == set()
    edited.set("detect.size", "lightweight")
    assert edited.jobs() == ALL | {"detect_video"}


def test_a_changed_setting_reruns_detect_and_what_follows(project):
    project.set("detect.size", "lightweight")
    assert project.jobs() == ALL | {"detect_video"}
    assert project.changed() == {"detect"}


@takes_long
def test_changed_code_reruns_detect_and_what_follows(project):
    with (project.path / "src/trilift/detect/looking.py").open("a") as code:
        code.write("# changed\n")
    assert project.jobs() == ALL | {"detect_video"}
    assert project.changed() == {"detect"}


@takes_long
def test_touching_files_reruns_nothing(project):
    later = time.time() + 100
    for file in project.path.rglob("*"):
        if file.is_file() and not {".git", ".dvc", ".snakemake"} & set(file.parts):
            os.utime(file, (later, later))
    assert project.jobs() == project.changed() == set()


@takes_long
def test_a_changed_video_is_refused_until_its_owner_accepts_it(project, made):
    edit(project.path / "data/raw/filmed/videos/cam2.mp4", "filmed again")
    refused = project.run("snakemake", "--cores", "2", check=False)
    assert refused.returncode != 0
    assert "raw data changed since `dvc add`: data/raw/filmed/videos" in refused.stdout
    assert project.hashes() == made.hashes()
    project.run("dvc", "add", "data/raw/filmed/videos")
    assert project.changed() == {"detect", "ingest"}
    assert project.jobs() == ALL | {"detect_video"}
    project.snakemake()
    assert project.jobs() == project.changed() == set()


@takes_long
def test_a_video_more_is_seen_by_both(project):
    (project.path / "data/raw/filmed/videos/cam3.mp4").write_text("a third camera")
    project.run("dvc", "add", "data/raw/filmed/videos")
    assert project.changed() == {"detect", "ingest"}
    assert project.jobs() == ALL | {"detect_video"}


@takes_long
@pytest.mark.parametrize(("killed", "engine"), [ENGINES, ENGINES[::-1]])
def test_after_a_kill_either_engine_goes_on_with_what_was_found_in_the_other_video(
    unmade, made, tmp_path, killed, engine
):
    project = unmade.copy(tmp_path / "project")
    rule = project.path / "workflow/rules/detect.smk"
    slow = "if [ {wildcards.video} = cam2 -a ! -e again ]; then touch again; sleep 60; fi; python -m trilift detect"
    rule.write_text(rule.read_text().replace('"python -m trilift detect', f'"{slow}', 1))
    process = project.start(*killed)
    wait_for(project.path / ".trilift/detections/filmed/cam1.nc")
    wait_for(project.path / "again")
    time.sleep(2)  # snakemake notes that the first has ended
    project.kill(process)
    before = project.logs()
    project.run(*engine)
    assert project.jobs() == project.changed() == set()
    assert project.hashes() == project.made() == made.hashes()
    assert project.logs()["cam1"] == before["cam1"]


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} does not appear")


@takes_long
def test_an_experiment_with_another_detector_is_compared_and_applied(project):
    before = project.hashes()
    project.run("dvc", "exp", "run", "--name", "other", "-S", "detect.size=lightweight")
    project.run("git", "checkout", "-q", "--", ".")
    project.run("dvc", "checkout")
    assert project.hashes() == before
    project.run("dvc", "exp", "apply", "other")
    assert project.hashes() != before
    assert project.jobs() == project.changed() == set()


def test_without_dvc_snakemake_runs_alone(unmade, tmp_path):
    project = unmade.copy(tmp_path / "project")
    shutil.rmtree(project.path / ".dvc")
    assert "there is no .dvc folder" in project.snakemake("data/raw/filmed/detections_of_videos.nc")
    assert project.jobs("data/raw/filmed/detections_of_videos.nc") == set()


def test_a_data_set_that_the_list_of_those_with_videos_lacks_is_named(project):
    project.set("videos", [])
    refused = project.run("snakemake", "-n", check=False)
    assert refused.returncode
    assert "expected ['filmed'], but it is []" in refused.stdout


def test_other_data_sets_have_no_jobs_for_videos(finished):
    assert not finished.jobs("--forceall") & {"detect", "detect_video"}
    assert not any("videos" in path for path in finished.hashes())
