"""Where a run is to calculate."""

from __future__ import annotations

import re

import torch

from ..registry.naming import unknown

_KINDS = re.compile("^Expected one of (.*) device type")


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
        if kinds := _KINDS.search(why):  # PyTorch lists all that it has a name for
            why = unknown("kind of device", device.partition(":")[0], kinds[1].split(", ")).rstrip(".")
        raise ValueError(f"device {device!r} cannot be used here: {why}; take --device cpu") from None
