"""What the bridge takes for an edit during a run, and how it writes dvc.lock."""

import errno
import os
from pathlib import Path

import dvc.dvcfile
import pytest
import yaml

import bridge


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
    before = bridge.hashes_of_inputs()
    (project / name).write_text((project / name).read_text() + "# edited\n")
    assert {path for path, _ in bridge.hashes_of_inputs().items() ^ before.items()} == {name}


def test_a_new_data_set_that_is_not_listed_is_none(project: Path) -> None:
    before = bridge.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {}\n")
    assert bridge.hashes_of_inputs() == before
    (project / "params.yaml").write_text("datasets:\n  - demo\n  - gait\n")
    listed = bridge.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {fps: 30}\n")
    assert bridge.hashes_of_inputs() != listed


def test_unreadable_settings_hide_nothing(project: Path) -> None:
    (project / "params.yaml").write_text("datasets: [")
    before = bridge.hashes_of_inputs()
    (project / "workflow/datasets/gait.yaml").write_text("ingest: {}\n")
    assert bridge.hashes_of_inputs() != before


def test_dvc_lock_is_written_once_for_all_stages(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(finished.copy(tmp_path / "copy").path)
    before = yaml.safe_load(bridge.LOCK.read_text())
    bridge.LOCK.unlink()
    written, modify = [], dvc.dvcfile.modify_yaml
    monkeypatch.setattr(dvc.dvcfile, "modify_yaml", lambda path, fs: written.append(path) or modify(path, fs=fs))
    bridge._commit(set(before["stages"]), bridge.Memory())
    assert len(written) == 1
    assert yaml.safe_load(bridge.LOCK.read_text()) == before


def test_a_recording_that_fails_half_way_leaves_dvc_lock_as_it_was(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(finished.copy(tmp_path / "copy").path)
    before = bridge.LOCK.read_bytes()
    memory = bridge.Memory()
    memory.pending = set(yaml.safe_load(before)["stages"])

    def fill_the_disk(path, fs):
        bridge.LOCK.write_bytes(before[: len(before) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cannot_undo(memory):
        if bridge._LOCK_BEFORE.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for undo in bridge._undo_half_commit, cannot_undo:
        with monkeypatch.context() as patch:
            patch.setattr(dvc.dvcfile, "modify_yaml", fill_the_disk)
            patch.setattr(bridge, "_undo_half_commit", undo)
            bridge._commit(set(memory.pending), memory)
        assert "tried again later: [Errno 28] No space left on device" in capsys.readouterr().err
        assert (bridge.LOCK.read_bytes() == before) == (undo is bridge._undo_half_commit)
    bridge._commit(set(memory.pending), memory)
    assert bridge.LOCK.read_bytes() == before
    assert not memory.pending


@pytest.mark.parametrize("where", ["_complete", "_commit"])
def test_an_exception_in_the_thread_that_records_is_said_and_does_not_end_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    run = bridge.Run(None)
    recorded: list[set[str]] = []
    faults = [ValueError("changed during iteration"), KeyError("job"), OSError("busy")]

    def fault(place: str) -> None:
        if place == where and faults:
            raise faults.pop()

    def complete(memory: bridge.Memory) -> set[str]:
        fault("_complete")
        return {"plot"}

    def commit(names: set[str], memory: bridge.Memory) -> None:
        fault("_commit")
        recorded.append(names)
        run._ended.set()

    kept_away: list[bridge.Memory] = []
    monkeypatch.setattr(bridge, "SECONDS_BETWEEN_COMMITS", 0.01)
    monkeypatch.setattr(bridge, "changed_raw_data", list)
    monkeypatch.setattr(bridge, "_commit", commit)
    monkeypatch.setattr(run, "_complete", complete)
    monkeypatch.setattr(run, "_keep_dvc_away", kept_away.append)
    run._commits.start()
    run._commits.join(20)
    assert recorded == [{"plot"}]
    assert len(kept_away) == (4 if where == "_commit" else 1)  # after each try
    assert capsys.readouterr().err.count("not recorded now, tried again later") == 3


def test_commands_that_a_message_names_quote_their_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "changed_raw_data", lambda: ["data/raw/my walk", "data/raw/gait"])
    with pytest.raises(RuntimeError) as caught:
        bridge.refuse_changed_raw_data()
    assert "`dvc add 'data/raw/my walk' data/raw/gait`" in str(caught.value)
    assert "`dvc checkout --force 'data/raw/my walk' data/raw/gait`" in str(caught.value)
