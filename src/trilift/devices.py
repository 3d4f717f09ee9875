import torch

from trilift.errors import InputError


def choose(name: str) -> torch.device:
    """Choose where to compute: a name that torch knows, or ``auto``, a GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return device
