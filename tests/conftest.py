import hashlib
import random
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

# Several threads wait for each other on a busy machine, and networks as small as those of the tests gain nothing.
torch.set_num_threads(1)

_LONG = ("workflow", "test_whole_flow.py", "ingest/test_conventions.py", "train/test_training.py")


class _Torch:
    """Torch's generator, for Hypothesis to set as it does those of numpy and Python."""

    seed = staticmethod(torch.manual_seed)
    getstate = staticmethod(torch.get_rng_state)
    setstate = staticmethod(torch.set_rng_state)


_TORCH = _Torch()
hypothesis.register_random(_TORCH)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="run the tests in another order, and let them draw other numbers")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--seed")
    # No deadline, because how busy a machine is says nothing about the code.
    hypothesis.settings.register_profile("trilift", deadline=None, derandomize=seed is None)
    hypothesis.settings.load_profile("trilift")
    if seed is not None:
        config.option.hypothesis_seed = seed


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle the modules and the tests in each if a seed is given.

    Otherwise begin with the folders whose modules take long: at the end, one worker would do them, and others wait.
    """
    seed = config.getoption("--seed")
    if seed is None:
        folders = [Path(__file__).parent / name for name in _LONG]
        items.sort(key=lambda item: not any(item.path.is_relative_to(folder) for folder in folders))
    else:
        items.sort(key=lambda item: (_number(config, item.nodeid.partition("::")[0]), _number(config, item.nodeid)))


# A fixture that tests share draws the same, whichever of them is the first, and so does each test. (An autouse
# fixture would come too late for the fixtures of a module.)
@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    _seed(_number(request.config, f"{request.node.nodeid} {fixturedef.argname}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    _seed(_number(item.config, item.nodeid))


def _seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    torch.manual_seed(number)


def _number(config: pytest.Config, name: str) -> int:
    """A number that a name and the option --seed decide."""
    return int.from_bytes(hashlib.sha256(f"{config.getoption('--seed')} {name}".encode()).digest()[:4])
