"""What goes wrong around a run: full disk, lost and damaged files. The next call mends it, or says what would."""

import os
import re
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from synthetic import OPENPOSE_DATA_SET, write_openpose_data_set

pytestmark = pytest.mark.engines
SNAKEMAKE = ("snakemake", "--cores", "2")
TRILIFT = ("python", "-m", "trilift")
CAPTURES = "data/captures/demo.nc"
LIFTER = "results/demo/main/lifter.safetensors"
FIGURE = "results/demo/main/figures/poses.png"
SIMULATED = {"data/raw/demo/detections.npz", "data/raw/demo/reference.npz", "results/demo/provenance/simulate.json"}
WITHOUT_ROOTS_RIGHTS = (
    "setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search",
)  # fmt: skip


def is_whole(project, finished):
    """Whether both engines find nothing to do, and all is as before the fault."""
    assert project.jobs() == project.changed() == set()
    assert project.hashes() == project.made() == finished.hashes()
    return True


def refused(project, *command):
    """What a command says that ends with an error."""
    result = project.run(*command, check=False)
    assert result.returncode
    assert "Traceback (most recent call last)" not in result.stdout
    return result.stdout


def remove(project, *paths):
    for path in paths:
        (project.path / path).unlink()


def flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()  # it may be read-only
    file.write_bytes(content)


def damage_silently(file):
    """As a bad disk does: the size and all times but one stay, and the permissions."""
    before = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(before.st_size // 2)
        opened.write(b"damaged")
    file.chmod(before.st_mode)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def in_cache(project, path):
    name = project.hashes()[path]
    return project.path / ".dvc/cache/files/md5" / name[:2] / name[2:]


@pytest.fixture
def on_a_small_disk(real_finished, tmp_path):
    """The finished project on a disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", disk], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield real_finished.copy(disk / "project")
    subprocess.run(["umount", "--lazy", disk], check=True)


@contextmanager
def full(project, leaving):
    """Fill the disk of a project up to some free bytes."""
    filler = project.path.parent / "filler"
    space = os.statvfs(project.path)
    filler.write_bytes(bytes(space.f_bavail * space.f_frsize - leaving))
    yield
    filler.unlink()


def test_on_a_full_disk_a_run_ends_with_one_message_and_the_next_goes_on(on_a_small_disk, real_finished):
    project = on_a_small_disk
    remove(project, CAPTURES, LIFTER, FIGURE)
    for path in real_finished.hashes().keys() - SIMULATED:
        in_cache(project, path).unlink(missing_ok=True)
    with full(project, leaving=400_000):
        message = refused(project, *SNAKEMAKE)
    assert message.count("No space left on device") == 1
    assert f"trilift ingest: {CAPTURES}: No space left on device; free some and run again" in message
    assert not [file for file in project.path.rglob("*.part") if ".trilift" not in file.parts]
    there = {path for path in real_finished.hashes() if (project.path / path).exists()}
    whole = {path for path in there if (project.path / path).read_bytes() == (real_finished.path / path).read_bytes()}
    assert there == whole

    process = project.start_until("plot", *SNAKEMAKE)
    with full(project, leaving=2_000_000):
        output, _ = process.communicate()
    assert "dvc commit failed, tried again later" in output
    project.snakemake()
    assert is_whole(project, real_finished)
    assert in_cache(project, CAPTURES).exists()


def test_removed_results_come_back_from_dvc_or_are_made_again(project, finished):
    remove(project, CAPTURES, LIFTER, FIGURE)
    project.run("dvc", "checkout")
    assert is_whole(project, finished)
    remove(project, CAPTURES, LIFTER, FIGURE)
    output = project.run("dvc", "repro").stdout
    assert set(re.findall(r"Running stage '(\w+)", output)) == {"ingest", "train", "plot"}
    assert is_whole(project, finished)
    remove(project, FIGURE)
    assert project.jobs() == {"plot"}
    project.snakemake()
    assert is_whole(project, finished)


def test_a_damaged_capture_is_told_by_both_and_never_used(project, finished):
    flip_a_byte(project.path / CAPTURES)
    assert "ingest" in project.changed()
    message = refused(project, *SNAKEMAKE)
    assert f"not what dvc.lock says, so damaged or edited: {CAPTURES}." in message
    assert f"`dvc checkout --force {CAPTURES}`" in message
    project.run("dvc", "checkout", "--force", CAPTURES)
    assert is_whole(project, finished)

    flip_a_byte(project.path / CAPTURES)
    message = refused(project, "dvc", "checkout")
    assert "--force" in message
    assert CAPTURES in message
    project.run("dvc", "repro")
    assert is_whole(project, finished)

    flip_a_byte(project.path / CAPTURES)
    refused(project, *SNAKEMAKE, "data/pseudo_labels/demo.nc")
    remove(project, CAPTURES)
    project.snakemake()
    assert is_whole(project, finished)


def test_labels_changed_on_purpose_are_used_once_dvc_has_accepted_it(project):
    flip_a_byte(project.path / "data/pseudo_labels/demo.nc")  # as somebody who edits labels by hand
    refused(project, *SNAKEMAKE)
    project.run("dvc", "commit", "--force", "triangulate@demo")
    assert "train" in project.jobs()
    assert "triangulate" not in project.jobs()


def test_a_lifter_cut_off_is_told_by_both_and_never_used(real_finished, tmp_path):
    project = real_finished.copy(tmp_path / "project")
    os.truncate(project.path / LIFTER, 5000)
    assert project.changed() == {"train", "evaluate"}
    assert f"trilift evaluate: {LIFTER}: no readable lifter" in refused(project, *TRILIFT, "evaluate", "demo")
    assert f"damaged or edited: {LIFTER}." in refused(project, *SNAKEMAKE)
    assert project.hashes() == real_finished.hashes()
    project.run("dvc", "repro")
    assert is_whole(project, real_finished)


def test_damage_that_changes_neither_size_nor_time_is_told_by_info(real_finished, tmp_path):
    project = real_finished.copy(tmp_path / "project")
    project.run("dvc", "status")  # dvc notes sizes and times
    damage_silently(project.path / CAPTURES)
    assert project.changed() == set()
    assert "CHANGED" in project.run("trilift", "info", CAPTURES).stdout
    remove(project, CAPTURES)
    project.run("dvc", "checkout")
    assert is_whole(project, real_finished)

    damage_silently(in_cache(project, CAPTURES))
    remove(project, CAPTURES)
    project.run("dvc", "checkout")
    assert project.changed() == set()
    assert "CHANGED" in project.run("trilift", "info", CAPTURES).stdout
    in_cache(project, CAPTURES).unlink()
    remove(project, CAPTURES)
    output = project.run("dvc", "repro").stdout
    assert "Running stage 'ingest@demo'" in output
    assert "Running stage 'triangulate@demo'" not in output
    assert is_whole(project, real_finished)


def test_what_is_lost_from_the_cache_is_made_again(project, finished):
    in_cache(project, FIGURE).unlink()
    remove(project, FIGURE)
    message = refused(project, "dvc", "checkout")
    assert FIGURE in message
    assert "Is your cache up to date?" in message
    output = project.run("dvc", "repro").stdout
    assert output.count("Running stage") == output.count("Running stage 'plot@demo'") == 1
    assert is_whole(project, finished)
    assert in_cache(project, FIGURE).exists()


def test_the_memories_of_both_engines_can_be_lost(project, finished):
    shutil.rmtree(project.path / ".dvc/tmp")
    (project.path / ".snakemake/trilift_bridge.json").write_text("{")
    assert is_whole(project, finished)
    shutil.rmtree(project.path / ".snakemake")
    assert is_whole(project, finished)


@pytest.mark.parametrize("fault", ["cut in half", "merge conflict"])
def test_a_broken_dvc_lock_is_named_with_what_restores_it(project, finished, fault):
    lock = project.path / "dvc.lock"
    whole = lock.read_text()
    cut, conflict = (
        whole[: whole.index("md5:", len(whole) // 2) + 2],
        f"<<<<<<< HEAD\n{whole}=======\n>>>>>>> theirs\n",
    )
    lock.write_text(cut if fault == "cut in half" else conflict)
    message = refused(project, *SNAKEMAKE)
    assert "dvc.lock cannot be read" in message
    assert "git checkout HEAD -- dvc.lock" in message
    assert "'./dvc.lock' is invalid" in refused(project, "dvc", "status")
    project.run("git", "checkout", "HEAD", "--", "dvc.lock")
    assert is_whole(project, finished)


def test_a_deleted_dvc_lock_comes_back_without_anything_being_run(project, finished):
    remove(project, "dvc.lock")
    output = project.snakemake()
    assert "Nothing to be done" in output
    assert "6 stages recorded in dvc.lock" in output
    assert is_whole(project, finished)


def test_a_raw_file_that_dvc_add_does_not_track_is_seen_when_it_changes_and_named_when_it_is_gone(project):
    raw = project.path / "data/raw/mine"
    write_openpose_data_set(raw)
    (project.path / "workflow/datasets/mine.yaml").write_text(OPENPOSE_DATA_SET)
    project.set("datasets", ["mine"])
    made = "data/captures/mine.nc"
    project.snakemake(made)
    assert project.jobs(made) == set()
    assert "ingest" not in project.changed()

    frame = raw / "pose/cam1_json/cam1.0003.json"
    content = frame.read_text()
    frame.write_text(content + " ")
    assert project.jobs(made) == {"ingest"}
    assert "ingest" in project.changed()
    frame.write_text(content)
    assert project.jobs(made) == set()

    captures = (project.path / made).read_bytes()
    (raw / "calibration.toml").unlink()
    message = refused(project, *SNAKEMAKE, made)
    assert "data/raw/mine/calibration.toml" in message
    assert (project.path / made).read_bytes() == captures


@pytest.mark.parametrize(
    ("path", "mode", "command"),
    [
        ("params.yaml", 0, (*TRILIFT, "train", "demo")),
        ("params.yaml", 0, SNAKEMAKE),
        ("workflow/datasets/demo.yaml", 0, (*TRILIFT, "ingest", "demo")),
        ("data/raw/demo/detections.npz", 0, (*TRILIFT, "ingest", "demo")),
        (CAPTURES, 0, (*TRILIFT, "evaluate", "demo")),
        (LIFTER, 0, (*TRILIFT, "evaluate", "demo")),
        ("results/demo/main", 0o555, (*TRILIFT, "evaluate", "demo")),
    ],
)
def test_what_may_not_be_read_or_written_is_named(real_finished, tmp_path, path, mode, command):
    project = real_finished.copy(tmp_path / "project")
    before = (project.path / path).stat().st_mode
    (project.path / path).chmod(mode)
    if os.geteuid() == 0:
        if not shutil.which("setpriv") or subprocess.run([*WITHOUT_ROOTS_RIGHTS, "true"]).returncode:
            pytest.skip("root reads and writes everything, and cannot give that right away here")
        command = (*WITHOUT_ROOTS_RIGHTS, *command)
    message = refused(project, *command)
    assert "Permission denied" in message
    assert path in message
    (project.path / path).chmod(before)
    assert project.made() == real_finished.hashes()
