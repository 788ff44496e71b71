"""The peers' environment: separate from ours, made on demand, with the same PyTorch and NumPy."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".bench-venv"
VERSIONS = {"byzfl": "0.0.11", "byzpy": "0.1.4", "torchjd": "0.18.0"}
# What these two import; their own lists of requirements hold torchvision, and ByzPy's an older PyTorch and NumPy.
UNRESOLVED = ("byzfl", "byzpy")
NEEDED = ("scipy", "matplotlib", "seaborn", "cloudpickle")


class PeersError(RuntimeError):
    """The environment could not be made; the message ends with what pip said."""


def python(folder: Path = FOLDER) -> Path:
    """Its interpreter."""
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def ready(folder: Path = FOLDER) -> bool:
    """Whether it has been made in full, from this list."""
    mark = folder / ".installed"
    return mark.exists() and mark.read_text() == _wanted()


def make(say: Callable[[str], None], folder: Path = FOLDER) -> None:
    """Make it, or bring it up to date.

    Raises:
        PeersError: pip failed, most likely for want of a network.
    """
    if ready(folder):
        return
    if not python(folder).exists():
        say(f"making {folder.name}")
        venv.create(folder, with_pip=True)
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    pinned = [f"{name}=={number}" for name, number in VERSIONS.items()]
    ours = [f"{name}=={_release(name)}" for name in ("torch", "numpy")]
    say("installing PyTorch and NumPy as here")
    _pip(folder, [*constraints, *ours])
    say("installing the peers")
    _pip(folder, [*constraints, "flwr", *NEEDED, *(p for p in pinned if p.partition("==")[0] not in UNRESOLVED)])
    _pip(folder, ["--no-deps", *(p for p in pinned if p.partition("==")[0] in UNRESOLVED)])
    (folder / ".installed").write_text(_wanted())


def _release(name: str) -> str:
    """The version that we run with; an index has it without the local part, as in 2.13.0+cpu."""
    return re.sub(r"\+.*", "", version(name))


def _wanted() -> str:
    return repr((VERSIONS, NEEDED, _release("torch"), _release("numpy")))


def _pip(folder: Path, arguments: Sequence[str]) -> None:
    command = [str(python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PeersError(f"{' '.join(command[2:])} failed: {done.stderr.strip()[-500:]}")
