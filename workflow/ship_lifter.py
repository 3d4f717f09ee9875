"""Make a trained lifter one of those that come with the package: half the size, in half precision.

    python workflow/ship_lifter.py results/pretrained/main pretrained

docs/pretrained.md tells how they are trained, and what is to be measured again when they change.
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save

from trilift.lifter.lifter import Lifter
from trilift.lifter.shipped import SHIPPED, folder_of
from trilift.project.files import replacing
from trilift.project.layout import LIFTER


def ship(run: Path, name: str) -> None:
    """Copy a lifter into the package; `Lifter.load` makes single precision of its weights again."""
    Lifter.load(run)  # a message, if there is none
    folder = folder_of(name)
    folder.mkdir(exist_ok=True)
    weights = {
        key: value.half() if value.is_floating_point() else value for key, value in load_file(run / LIFTER[0]).items()
    }
    with replacing(folder / LIFTER[0]) as temporary:
        temporary.write_bytes(save(weights))
    shutil.copyfile(run / LIFTER[1], folder / LIFTER[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=SHIPPED)
    options = parser.parse_args()
    ship(options.run, options.name)
