import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Several threads wait for each other on a busy machine, and networks as small as those of the tests gain nothing.
torch.set_num_threads(1)

# No deadline, because how busy a machine is says nothing about the code.
settings.register_profile("trilift", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("trilift")

_LONG = ("workflow", "stages")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose modules take long: at the end, one worker would do them while the others wait."""
    folders = [Path(__file__).parent / name for name in _LONG]
    items.sort(key=lambda item: not any(item.path.is_relative_to(folder) for folder in folders))
