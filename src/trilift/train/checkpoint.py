"""A training that was stopped, to go on from."""

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trilift.project.files import replacing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training is kept until its lifter is saved, and how often it is written."""

    path: Path
    every_s: float = 20.0

    def write(self, state: dict[str, Any]) -> None:
        """Write a state behind its hash, because torch reads damaged ones as if nothing were wrong."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        with replacing(self.path) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def read(self, device: torch.device) -> dict[str, Any] | None:
        """Read the state; None if it is damaged, which is said, or not there."""
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            log.info("%s: damaged, so the training begins anew", self.path)
            return None
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
