import pytest

from trilift.errors import InputError
from trilift.train.runs import Sweep, of_run

TEXT = """
seed: 7
sweep:
  seeds: [0, 4]
  losses:
    both: {}
    only-input: {multi_view_consistency: 0.0}
train:
  steps: 5
  losses: {multi_view_consistency: 0.5}
"""


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def test_every_choice_runs_with_every_seed(params):
    sweep = Sweep(seeds=[0, 4], losses={"both": {}, "only-input": {}})
    assert sweep.runs == ["both-s0", "both-s4", "only-input-s0", "only-input-s4"]


def test_a_run_is_told_by_its_name(params):
    main, seed = of_run(params, "main")
    assert (main.steps, main.losses.multi_view_consistency, seed) == (5, 0.5, 7)
    assert of_run(params, "both-s4") == (main, 4)
    only_input, seed = of_run(params, "only-input-s0")
    assert (only_input.steps, only_input.losses.multi_view_consistency, seed) == (5, 0.0, 0)


@pytest.mark.parametrize("run", ["both", "both-s1", "others-s0", "both-sx"])
def test_a_run_that_the_sweep_does_not_have_is_refused(params, run):
    with pytest.raises(InputError, match=rf"no run {run} .*both-s4"):
        of_run(params, run)


@pytest.mark.parametrize("name", ["a/b", "", "../x", "with space"])
def test_names_of_runs_are_names_of_folders(name):
    with pytest.raises(ValueError):
        Sweep(losses={name: {}})
