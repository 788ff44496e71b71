"""How much memory this process has held, where the system tells (Linux)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_PEAK = "VmHWM:"


def reset_peak() -> None:
    """From now on `peak` is of what follows; where the system does not let us, of all before, too."""
    with suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")


def peak() -> float | None:
    """The most that this process has held, in megabytes; None where the system does not tell."""
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith(_PEAK):
                return int(line.split()[1]) * 1024 / 1e6
    return None
