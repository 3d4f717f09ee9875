"""Whether Snakemake reads its files once, and every change of them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import checksums

SNAKEFILE = """
import checksums

checksums._COARSEST_CLOCK = 0
checksums.remember()
hashed, of_snakemake = [], checksums._hash


async def counted(file, *arguments, **options):
    hashed.append(str(file))
    return await of_snakemake(file, *arguments, **options)


checksums._hash = counted


rule all:
    input:
        expand("made/{number}.txt", number=range(4)),
        expand("made/also_{number}.txt", number=range(4)),


rule make:
    input:
        "large.txt",
    output:
        multiext("made/", "0.txt", "1.txt", "2.txt", "3.txt"),
    shell:
        "touch {output}"


rule make_also:
    input:
        "large.txt",
    output:
        multiext("made/also_", "0.txt", "1.txt", "2.txt", "3.txt"),
    shell:
        "touch {output}"


onsuccess:
    print("hashed:", hashed.count("large.txt"))
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checksums, "_COARSEST_CLOCK", 0)
    path = tmp_path / "file"
    path.write_text("before")
    return path


def hash_of(file: Path) -> str | None:
    async def content(path: str, threshold: int) -> str | None:
        return Path(path).read_text() if os.path.getsize(path) <= threshold else None

    checksums._hash, kept = content, checksums._hash
    try:
        return asyncio.run(checksums._remembered(str(file), 1000))
    finally:
        checksums._hash = kept


def test_snakemake_hashes_an_input_once_for_all_jobs_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "large.txt").write_text("large")
    (tmp_path / "checksums.py").write_text(Path(checksums.__file__).read_text())
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    run = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "hashed: 1\n" in run.stdout


@pytest.mark.parametrize("change", ["content", "time", "file"])
def test_what_changed_is_read_again(file: Path, change: str) -> None:
    assert hash_of(file) == "before"
    before = file.stat()
    if change == "file":
        file.rename(file.with_name("kept"))
    file.write_text("after" if change == "content" else "behind")
    if change != "time":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hash_of(file) == file.read_text()


def test_what_was_just_written_is_read_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks of file systems are coarse: two changes may carry the same times."""
    monkeypatch.setattr(checksums, "_COARSEST_CLOCK", 3600e9)
    assert hash_of(file) == "before"
    assert not any(str(file) in key for key in checksums._known)


def test_what_is_too_large_or_not_there_has_none(file: Path) -> None:
    file.write_text("long" * 1000)
    assert hash_of(file) is None
    with pytest.raises(FileNotFoundError):
        hash_of(file.with_name("other"))
