"""What the bridge takes for an edit during a run, and how it writes dvc.lock."""

import errno
import os
from pathlib import Path

import dvc.dvcfile
import pytest
import yaml

from bridge import adopt, commit, memory, record


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in {
        "params.yaml": "datasets:\n  - demo\ntrain: {}\n",
        "dvc.yaml": "stages: {}\n",
        "src/trilift/__init__.py": "",
        "workflow/Snakefile": "",
        "workflow/datasets/demo.yaml": "ingest: {}\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["params.yaml", "src/trilift/__init__.py", "workflow/datasets/demo.yaml"])
def test_what_a_run_depends_on_is_an_edit(project: Path, name: str) -> None:
    before = memory.hashes_of_inputs()
    (project / name).write_text((project / name).read_text() + "# edited\n")
    assert {path for path, _ in memory.hashes_of_inputs().items() ^ before.items()} == {name}


def test_a_new_data_set_that_is_not_listed_is_none(project: Path) -> None:
    before = memory.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {}\n")
    assert memory.hashes_of_inputs() == before
    (project / "params.yaml").write_text("datasets:\n  - demo\n  - gait\n")
    listed = memory.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {fps: 30}\n")
    assert memory.hashes_of_inputs() != listed


def test_unreadable_settings_hide_nothing(project: Path) -> None:
    (project / "params.yaml").write_text("datasets: [")
    before = memory.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {}\n")
    assert memory.hashes_of_inputs() != before


def test_a_stage_that_a_cut_off_run_made_is_run_again_if_one_of_its_files_is_gone(project: Path, monkeypatch) -> None:
    now = memory.Memory()
    now.pending, now.inputs = {"train@demo"}, memory.hashes_of_inputs()
    now.write()
    (project / "lifter").touch()
    (project / "train.json").write_text('{"outputs": {"lifter": "a digest"}}')
    monkeypatch.setenv("DVC_STAGE", "train@demo")
    monkeypatch.setattr("sys.argv", ["snakemake", "--", "train.json"])
    assert adopt.is_left_by_cut_off_run()
    (project / "lifter").unlink()
    assert not adopt.is_left_by_cut_off_run()
    (project / "train.json").unlink()
    assert not adopt.is_left_by_cut_off_run()


def test_dvc_lock_is_written_once_for_all_stages(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished.copy(tmp_path / "copy").path)
    before = yaml.safe_load(memory.LOCK.read_text())
    memory.LOCK.unlink()
    written, modify = [], dvc.dvcfile.modify_yaml
    monkeypatch.setattr(dvc.dvcfile, "modify_yaml", lambda path, fs: written.append(path) or modify(path, fs=fs))
    commit.commit(set(before["stages"]), memory.Memory())
    assert len(written) == 1
    assert yaml.safe_load(memory.LOCK.read_text()) == before


def test_a_recording_that_fails_half_way_leaves_dvc_lock_as_it_was(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(finished.copy(tmp_path / "copy").path)
    before = memory.LOCK.read_bytes()
    known = memory.Memory()
    known.pending = set(yaml.safe_load(before)["stages"])

    def fill_the_disk(path, fs):
        memory.LOCK.write_bytes(before[: len(before) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cannot_undo(known):
        if commit.LOCK_BEFORE.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for undo in commit.undo_half_commit, cannot_undo:
        with monkeypatch.context() as patch:
            patch.setattr(dvc.dvcfile, "modify_yaml", fill_the_disk)
            patch.setattr(commit, "undo_half_commit", undo)
            commit.commit(set(known.pending), known)
        assert "tried again later: [Errno 28] No space left on device" in capsys.readouterr().err
        assert (memory.LOCK.read_bytes() == before) == (undo is commit.undo_half_commit)
    commit.commit(set(known.pending), known)
    assert memory.LOCK.read_bytes() == before
    assert not known.pending


def test_commands_that_a_message_names_quote_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "changed_raw_data", lambda: ["data/raw/my walk", "data/raw/gait"])
    with pytest.raises(RuntimeError) as caught:
        record.refuse_changed_raw_data()
    assert "`dvc add 'data/raw/my walk' data/raw/gait`" in str(caught.value)
    assert "`dvc checkout --force 'data/raw/my walk' data/raw/gait`" in str(caught.value)
