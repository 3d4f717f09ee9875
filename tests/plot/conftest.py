from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

from trilift import style


@pytest.fixture(autouse=True)
def _our_style() -> Iterator[None]:
    with plt.rc_context():
        style.use()
        yield
    plt.close("all")
