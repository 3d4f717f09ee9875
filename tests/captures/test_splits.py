import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trilift.captures import reading, writing
from trilift.captures.schema import Recording
from trilift.captures.splits import Split, check_names, frames_of, seen_in_training
from trilift.errors import InputError
from trilift.skeletons import H36M17

LENGTHS = {"S1": [("Walk", 40), ("Sit", 13)], "S9": [("Walk", 21)]}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    path = tmp_path_factory.mktemp("splits") / "tiny.nc"
    with writing.create(path, "references") as file:
        for subject, actions in LENGTHS.items():
            first, table = 0, []
            for action, length in actions:
                table.append(Recording(f"{subject} {action}", subject, action, 50.0, first, length))
                first += length
            file.add_capture(subject, recordings=table, skeleton=H36M17)
    with reading.read(path, "references") as content:
        yield content


SPLITS = {
    "subject": Split(by="subject", test=["S9"]),
    "recording": Split(by="recording", test=["S1 Sit"]),
    "time": Split(by="time", test_share=0.3),
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_every_frame_is_either_for_training_or_for_testing(opened, split):
    for capture in opened.values():
        assert (frames_of(capture, split, "train") ^ frames_of(capture, split, "test")).all()


def test_a_split_by_subject_keeps_people_apart(opened):
    split = SPLITS["subject"]
    assert not frames_of(opened["S1"], split, "test").any()
    assert frames_of(opened["S9"], split, "test").all()


def test_a_split_by_recording_cuts_between_recordings(opened):
    expected = np.arange(53) >= 40
    np.testing.assert_array_equal(frames_of(opened["S1"], SPLITS["recording"], "test"), expected)


def test_a_split_by_time_tests_the_end_of_every_recording(opened):
    frame = np.arange(53)
    expected = ((frame >= 28) & (frame < 40)) | (frame >= 40 + 9)
    np.testing.assert_array_equal(frames_of(opened["S1"], SPLITS["time"], "test"), expected)


@given(st.floats(0.001, 0.999))
def test_a_split_by_time_covers_all_frames_for_any_share(opened, share):
    split = Split(by="time", test_share=share)
    train, test = (frames_of(opened["S1"], split, part) for part in ("train", "test"))
    assert (train ^ test).all()
    assert abs(test.mean() - share) < 0.05


def test_with_named_training_data_the_others_are_unused(opened):
    split = Split(by="recording", test=["S1 Sit"], train=["S9 Walk"])
    assert not frames_of(opened["S1"], split, "train").any()
    assert frames_of(opened["S9"], split, "train").all()


def test_people_are_seen_in_training_unless_the_split_is_by_subject(opened):
    def seen(split, people):
        tested = {name: frames_of(capture, split, "test") & (name in people) for name, capture in opened.items()}
        return seen_in_training(opened, split, tested)

    assert {by: seen(split, LENGTHS) for by, split in SPLITS.items()} == {
        "subject": False,
        "recording": True,
        "time": True,
    }
    assert not seen(SPLITS["recording"], ["S9"])  # S1 was left out of the evaluation


@pytest.mark.parametrize(
    "split",
    [Split(by="subject", test=["S5"]), Split(by="subject", test=["S9"], train=["S5"])],
    ids=["in test", "in train"],
)
def test_unknown_subjects_are_refused_with_the_known_ones(opened, split):
    with pytest.raises(InputError, match=r"here, section split: no subject S5 \(there are: S1, S9\)"):
        check_names(opened, split, "here")


def test_unknown_recordings_are_refused_with_the_known_ones(opened):
    with pytest.raises(InputError, match=r"no recording Walk \(there are: S1 Sit, S1 Walk, S9 Walk\)"):
        check_names(opened, Split(by="recording", test=["Walk"]), "here")


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_known_names_are_accepted(opened, split):
    check_names(opened, split, "here")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"by": "time", "test": ["S9"]}, "names no subjects"),
        ({"by": "subject"}, "needs `test`"),
        ({"by": "subject", "test": ["S9"], "train": ["S1", "S9"]}, "S9 cannot be in both"),
        ({"by": "time", "test_share": 0.0}, "greater than 0"),
        ({"by": "time", "test_share": 1.0}, "less than 1"),
        ({"by": "camera", "test": ["1"]}, "'subject', 'recording' or 'time'"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(settings, expected):
    with pytest.raises(ValidationError, match=expected):
        Split(**settings)
