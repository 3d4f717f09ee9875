import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from ruamel.yaml import YAML

from trilift.captures.splits import Split
from trilift.errors import InputError
from trilift.formats.calibration import METRES
from trilift.formats.registry import CAMERAS, DETECTIONS
from trilift.formats.source import Source
from trilift.project.params import StrictModel, load, load_dataset, load_datasets, load_seed, parse, read_yaml
from trilift.project.stages import SECTIONS, STAGES
from trilift.train import settings as train
from trilift.triangulate import settings as triangulate

ROOT = Path(__file__).parents[2]
DATA_SETS = [file.relative_to(ROOT).as_posix() for file in (ROOT / "workflow/datasets").glob("*.yaml")]


class Losses(StrictModel):
    reprojection: float = 1.0


class Settings(StrictModel):
    steps: int
    rate: float = Field(0.1, gt=0)
    device: Literal["cpu", "gpu"] = "cpu"
    losses: Losses = Losses()


@pytest.fixture
def params(tmp_path):
    def write(text):
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return path

    return write


def message(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_section_is_read_with_its_defaults(params):
    settings = load(params("seed: 3\ntrain:\n  steps: 5\n  losses:\n    reprojection: 2\n"), "train", Settings)
    assert settings == Settings(steps=5, losses=Losses(reprojection=2.0))


FILES = ["params.yaml", *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("workflow/presets/*.yaml")))]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("stage", SECTIONS)
def test_the_files_of_the_project_are_what_the_stages_expect(file, stage):
    load(ROOT / file, stage, STAGES[stage].load_settings())


@pytest.mark.parametrize("file", FILES)
def test_every_preset_has_all_sections_for_dvc_has_no_defaults(file):
    assert read_yaml(ROOT / file).keys() == read_yaml(ROOT / "params.yaml").keys()


@pytest.mark.parametrize("stage", SECTIONS)
def test_without_its_line_in_params_yaml_a_setting_is_the_same(stage):
    settings = STAGES[stage].load_settings()
    assert load(ROOT / "params.yaml", stage, settings) == settings()


def test_settings_do_not_change_after_reading(params):
    settings = load(params("train: {steps: 5}"), "train", Settings)
    with pytest.raises(ValueError):
        settings.steps = 6


@pytest.mark.parametrize(
    ("section", "key", "expected"),
    [
        ("{steps: 5, speed: 1}", "speed", "unknown setting (known here: steps, rate, device, losses)"),
        ("{steps: 5, losses: {bones: 1}}", "losses.bones", "unknown setting"),
        ("{}", "steps", "missing"),
        ("", "steps", "missing"),
        ("{steps: many}", "steps", "'many'"),
        ("{steps: '5'}", "steps", "'5'"),
        ("{steps: 5.5}", "steps", "5.5"),
        ("{steps: true}", "steps", "True"),
        ("{steps: 5, rate: -1}", "rate", "greater than 0"),
        ("{steps: 5, device: tpu}", "device", "'cpu' or 'gpu'"),
        ("[1, 2]", "(the section)", "[1, 2]"),
        ("5", "(the section)", "5"),
    ],
)
def test_a_wrong_setting_gives_one_message_with_file_section_and_key(params, section, key, expected):
    path = params(f"train: {section}")
    text = message(load, path, "train", Settings)
    assert text.startswith(f"{path}, section train:\n  {key}: ")
    assert expected in text
    assert text.count("\n") == 1


def test_all_wrong_settings_are_listed_at_once(params):
    text = message(load, params("train: {steps: many, speed: 1, rate: 0}"), "train", Settings)
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == ["steps", "rate", "speed"]


def problems(model, values):
    """The lines of the message: key and what is said of it."""
    lines = message(parse, model, values, "here").splitlines()
    assert lines[0] == "here:"
    return dict(line.strip().split(": ", 1) for line in lines[1:])


def test_what_does_not_fit_together_is_told_beside_wrong_values():
    """Pydantic looks at what holds between settings only where each of them is sound, inner ones first."""
    found = problems(
        train.Settings,
        {
            "network": {"kind": "temporal", "blocks": 2, "frames": 5, "width": 0, "deep": 1},
            "losses": {"input_triangulation": 0.0, "multi_view_consistency": 0.0, "norm": "l3"},
            "steps": "many",
        },
    )
    assert found.keys() == {"network", "network.width", "network.deep", "losses", "losses.norm", "steps"}
    assert "set frames to one of these" in found["network"]
    assert "remove blocks" in found["network"]
    assert "all losses are switched off" in found["losses"]


def test_what_the_dlt_cannot_do_is_told_beside_wrong_values():
    found = problems(triangulate.Settings, {"method": "dlt", "smoothing": {"max_gap_s": -1.0}, "limits": {"px": 1}})
    assert found.keys() == {"(the section)", "smoothing.max_gap_s", "limits.px"}
    assert "smoothing: null and repair_swaps: false" in found["(the section)"]


def test_all_that_is_wrong_with_a_data_set_is_told_at_once():
    found = problems(
        Source,
        {
            "detections": {"format": "openpose", "path": "pose", "detector": "x", "undistorted": "no"},
            "cameras": {"format": "trilift", "unit": "cm", "names": 3},
        },
    )
    assert found.keys() == {"detections", "detections.undistorted", "cameras", "cameras.names", "fps"}
    assert "`path` is needed" in found["cameras"]
    assert "leave `unit` out" in found["cameras"]


def test_all_that_is_wrong_with_a_split_is_told_at_once():
    (said,) = problems(Split, {"by": "time", "test": ["a", "b"], "train": ["b"]}).values()
    assert "names no subjects" in said
    assert "b cannot be in both" in said


@given(
    broken=st.sets(
        st.sampled_from(["kind", "width", "dropout", "stepz", "steps", "schedule", "flips", "norm"]), min_size=1
    )
)
def test_no_wrong_setting_hides_another(broken):
    values = {"network": {}, "augmentation": {}, "losses": {}}
    places = {"kind": "network", "width": "network", "dropout": "network", "flips": "augmentation", "norm": "losses"}
    for name in broken:
        (values[places[name]] if name in places else values)[name] = "wrong"
    values["losses"] |= dict.fromkeys(train.GEOMETRIC, 0.0)
    expected = {f"{places[name]}.{name}" if name in places else name for name in broken} | {"losses"}
    assert problems(train.Settings, values).keys() == expected


def test_the_checked_values_are_left_as_they_are():
    values = {"steps": "many", "network": {"width": 0}}
    problems(train.Settings, values)
    assert values == {"steps": "many", "network": {"width": 0}}


def test_an_unknown_section_is_refused(params):
    path = params("train: {steps: 5}\ntrian: {}\n")
    text = message(load, path, "train", Settings)
    assert text.startswith(f"{path}: unknown section trian")
    assert "train" in text.split("known: ")[1]


@pytest.mark.parametrize(
    "text",
    ["train: [1, 2", "a: b: c", "\tx: 1", "train: !!python/object/apply:os.system ['true']", "- 1\n- 2", "", "5"],
)
def test_what_is_no_mapping_in_yaml_is_refused_by_name(params, text):
    path = params(text)
    assert message(read_yaml, path).startswith(f"{path}: ")


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert message(read_yaml, path).startswith(f"{path}: ")


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "params.yaml") in message(read_yaml, tmp_path / "params.yaml")


def test_the_seed_is_a_whole_number_from_0_on(params):
    assert load_seed(params("seed: 7")) == 7
    assert load_seed(params("train: {}")) == 0


@pytest.mark.parametrize("seed", ["-1", "1.5", "true", "x", "", "[1]"])
def test_any_other_seed_is_refused(params, seed):
    path = params(f"seed: {seed}")
    assert message(load_seed, path).startswith(f"{path}: seed must be")


def test_a_section_of_a_data_set_is_read(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("ingest: {steps: 2}\nsplit: {}\n")
    assert load_dataset(path, "ingest", Settings).steps == 2


def test_an_unknown_data_set_lists_the_known_ones(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text("ingest: {}")
    assert "there are: a, b" in message(load_dataset, tmp_path / "c.yaml", "ingest", Settings)


def test_a_data_set_has_no_other_sections(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text("ingest: {steps: 2}\ntrain: {}\n")
    assert message(load_dataset, path, "ingest", Settings).startswith(f"{path}: unknown section train")


def test_values_that_were_read_elsewhere_are_checked_too():
    assert "here:\n  steps: missing" in message(parse, Settings, {}, "here")


@pytest.mark.parametrize("file", [*FILES, *DATA_SETS])
def test_dvc_reads_the_files_of_the_project_as_we_do(file):
    assert YAML(typ="safe").load(ROOT / file) == read_yaml(ROOT / file)


def test_settings_are_numbers_as_yaml_1_2_has_them(params):
    path = params("datasets: ['2026']\nseed: 0o17\ntrain: {steps: 010, rate: 1e-3}\n")
    assert load(path, "train", Settings) == Settings(steps=10, rate=0.001)
    assert load_seed(path) == 15


class Recordings(StrictModel):
    subjects: dict[str, str]


def test_names_of_cameras_and_recordings_stay_text(params):
    path = params("ingest: {subjects: {00_00: on, 2026-01-01: no, 1_2: 12:30, yes: y}}\n")
    subjects = {"00_00": "on", "2026-01-01": "no", "1_2": "12:30", "yes": "y"}
    assert load_dataset(path, "ingest", Recordings) == Recordings(subjects=subjects)


@pytest.mark.parametrize("value", ["2026", "1e5", "true"])
def test_a_number_where_text_belongs_is_to_be_put_in_quotes(params, value):
    assert "put it in quotes" in message(
        load_dataset, params(f"ingest: {{subjects: {{a: {value}}}}}"), "ingest", Recordings
    )
    load_dataset(params(f"ingest: {{subjects: {{a: '{value}'}}}}"), "ingest", Recordings)


@pytest.mark.parametrize(
    "text", ["seed: 1\nseed: 2\n", "seed: " + "[" * 5000, "seed: " + "9" * 5000, "- 1", "a: !!set 1"]
)
def test_what_is_no_yaml_or_says_a_thing_twice_is_refused(params, text):
    assert str(params(text)) in message(read_yaml, params(text))


def test_the_settings_of_the_project_have_a_section_per_stage():
    assert set(SECTIONS) <= set(read_yaml(ROOT / "params.yaml"))


def test_a_section_that_is_not_there_is_named_and_its_defaults_are_used(tmp_path, caplog):
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    load(tmp_path / "params.yaml", "plot", StrictModel)
    assert "no section plot, so its defaults are used" in caplog.text


def words_of(model: type[BaseModel]) -> Iterator[str]:
    """All words that a setting of a class can be, those of the classes within included."""
    for field in model.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            kind = waiting.pop()
            if get_origin(kind) is Literal:
                yield from (value for value in get_args(kind) if isinstance(value, str))
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from words_of(kind)
            else:
                waiting += get_args(kind)


@pytest.mark.parametrize("stage", [*SECTIONS, "of a data set"])
def test_words_that_settings_can_be_are_words_for_all_readers_of_yaml(stage: str) -> None:
    """Those of YAML 1.1 too, in which "off" would be False: other programs read params.yaml as well."""
    model = Source if stage == "of a data set" else STAGES[stage].load_settings()
    for word in [*words_of(model), *DETECTIONS, *CAMERAS, *METRES]:
        assert yaml.safe_load(word) == word


TYPED = ["2026", "2026-01-01", "00_00", "1e5", "007", "yes", "no", "0o17", "1_000", "12:30", ".5", "on"]


@pytest.mark.parametrize("name", TYPED)
def test_a_name_that_looks_like_a_number_is_what_was_typed(name, tmp_path):
    file = tmp_path / f"{name}.yaml"
    file.write_text(
        f"ingest:\n  detections: {{format: openpose, path: {name}, detector: {name}, skeleton: coco17}}\n"
        f"  cameras: {{format: toml, path: {name}, names: [{name}]}}\n  views: {{{name}: {name}}}\n"
        f"  exclude_cameras: [{name}]\n  offsets: {{{name}: 3}}\n  subjects: {{{name}: {name}}}\n  fps: 1e2\n"
        f"split: {{by: subject, test: [{name}]}}\n"
    )
    source = load_dataset(file, "ingest", Source)
    assert (source.detections.path, source.detections.detector, source.cameras.path) == (name, name, name)
    assert source.cameras.names == source.exclude_cameras == [name]
    assert source.views == source.subjects == {name: name}
    assert source.offsets == {name: 3}
    assert source.fps == 100
    assert load_dataset(file, "split", Split).test == [name]
    (tmp_path / "params.yaml").write_text(f"datasets:\n- {name}\n")
    assert load_datasets(tmp_path / "params.yaml") == [name]


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("3.", 3.0),
        ("12", 12),
        ("-7", -7),
        ("0x1F", 31),
    ],
)
def test_numbers_are_those_of_yaml_1_2(typed, number, tmp_path):
    (tmp_path / "params.yaml").write_text(f"a: {typed}\nb: true\nc: null\nd: on\ne: ~\n")
    read = read_yaml(tmp_path / "params.yaml")
    assert read == {"a": number, "b": True, "c": None, "d": "on", "e": None}
    assert json.loads(json.dumps(read))["a"] == number
