"""What the numbers depend on."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedward import versions

ROOT = Path(__file__).parents[2]


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", file.read_text()) if file.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Size of each cache that the first core sees, by name: L1 Data, L2 Unified."""
    found = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        found[f"L{level} {kind}"] = size
    return found


def _commit() -> str:
    """The commit that is measured, with a plus sign if files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def made_by(on: dict[str, Any]) -> dict[str, Any]:
    """What a line has to say that was measured apart from the others, out of `machine`."""
    return {key: on[key] for key in ("processor", "threads", "date", "commit", "code")}


def machine(threads: int) -> dict[str, Any]:
    """Processor, memory, versions, date and commit."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "caches": _caches(),
        "memory_gib": round(memory() / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": threads,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "code": versions.code(),
        "numba": versions.versions()["numba"],
    }
