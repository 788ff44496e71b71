"""Files of Python that are no modules of a package: scripts, and programs of examples."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def module_of(file: Path, name: str = "") -> ModuleType:
    """The file as a module of its own name, or of another one."""
    spec = importlib.util.spec_from_file_location(name or file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its functions and classes are looked for
    spec.loader.exec_module(module)
    return module
