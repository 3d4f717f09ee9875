import logging

import pytest

from trilift import cli
from trilift.errors import InputError
from trilift.project import messages

log = logging.getLogger(__name__)


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Gives a function that runs a stage of a command in place of `plot`: what is on the screen, and in its log."""

    def run(stage) -> list[str]:
        monkeypatch.setattr("trilift.plot.stage.run", stage)
        cli.main(["plot", "demo", "--project", str(tmp_path), "--log", str(tmp_path / "plot.log")])
        screen = capsys.readouterr().err
        assert (tmp_path / "plot.log").read_text("utf-8") == screen
        return screen.splitlines()

    return run


def test_a_warning_is_marked_and_said_again_at_the_end(said):
    def stage(_):
        log.info("begins")
        log.warning("camera %d moved by %d cm", 3, 10)
        log.info("a table\n1 2")
        log.warning("camera %d moved by %d cm", 3, 10)
        log.info("ends")

    assert said(stage) == [
        "begins", "WARNING: camera 3 moved by 10 cm", "a table", "1 2", "WARNING: camera 3 moved by 10 cm", "ends",
        "1 warning, said above:", "  camera 3 moved by 10 cm",
    ]  # fmt: skip


def test_a_warning_that_is_the_last_word_is_not_said_twice(said):
    def stage(_):
        log.info("begins")
        log.warning("nobody in view")

    assert said(stage) == ["begins", "WARNING: nobody in view"]


def test_of_many_warnings_of_a_kind_some_are_said_again_and_of_others_all(said):
    def stage(_):
        for number in range(20):
            log.warning("walk %d: no reference", number)
        log.warning("camera %d moved", 3)
        log.info("ends")

    of_walks = [f"  walk {number}: no reference" for number in range(3)]
    again = ["21 warnings, said above:", *of_walks, "  (and 17 more like this)", "  camera 3 moved"]
    assert said(stage)[21:] == ["ends", *again]


def test_an_error_stands_last(said):
    def stage(_):
        log.warning("camera 3 moved")
        log.info("goes on")
        raise InputError("data/x: damaged")

    assert said(stage)[1:] == [
        "goes on",
        "1 warning, said above:",
        "  camera 3 moved",
        "trilift plot: data/x: damaged",
    ]


def test_a_log_is_closed_and_the_next_command_begins_without_its_warnings(said):
    said(lambda _: (log.warning("old"), log.info("ends")))
    assert said(lambda _: log.info("new")) == ["new"]
    assert not [h for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler | messages._Warnings)]
