"""Modules of other libraries whose package itself cannot be imported here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


def part(package: str, name: str) -> ModuleType:
    """A module of a package, without running the package's own ``__init__``.

    ByzFL's imports torchvision, for the data sets of its command line; neither its aggregators nor its clients need
    that, and the torchvision of PyPI cannot be imported beside a PyTorch for the CPU.
    """
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(f"{package} is not installed")
        sys.modules[package] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{package}.{name}")
