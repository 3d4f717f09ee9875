from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest

from plot.browser import open_browser
from trilift import style


@pytest.fixture(autouse=True)
def _our_style() -> Iterator[None]:
    with plt.rc_context():
        style.use()
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with open_browser() as driver:
        yield driver
