"""Where a run is to calculate."""

from __future__ import annotations

import torch


def check_device(device: str) -> None:
    """Whether PyTorch can calculate there.

    Raises:
        ValueError: it cannot.
    """
    if device == "cpu":
        return
    try:
        float(torch.ones(1, device=device).sum())
    except Exception as error:  # every kind of device has its own kind of error
        why = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(f"device {device!r} cannot be used here: {why}; take --device cpu") from None
