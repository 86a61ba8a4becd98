"""Where models run."""

from __future__ import annotations

import torch


def choose_device(device: str) -> torch.device:
    """The device asked for; `auto` takes an accelerator when there is one."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
