"""What goes wrong, as a sentence: who can mend it, and how. Loads nothing heavy."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from pathlib import Path
from typing import ClassVar
from unicodedata import normalize

TRACEBACK = "FEDWARD_TRACEBACK"
"""Set this variable in the environment to see the traceback as well."""

_EXTRAS = {
    **dict.fromkeys(("typer", "click", "rich", "pydantic", "plotly"), "cli"),
    **dict.fromkeys(("PIL", "pyarrow"), "data"),
    **dict.fromkeys(("datasets", "flwr_datasets"), "flwr-datasets"),
}
_PACKAGES = {
    "cli": "numba typer rich pydantic plotly",
    "data": "pillow pyarrow",
    "figures": "matplotlib",
    "flower": "'flwr[simulation]'",
    "flwr-datasets": "flwr-datasets",
    "nvflare": "nvflare",
    "peft": "peft transformers",
    "ray": "ray",
    "tensorboard": "tensorboard",
    "timm": "timm",
    "wandb": "wandb",
}
"""What an extra holds, as a shell has it."""
# Python takes most of these for printable, and none of them can be seen. The first are the code points that Unicode has
# everybody ignore (Default_Ignorable_Code_Point): joiners, selectors of variants, fillers. The others are blank signs.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BLANK = frozenset("\u2800\U00013441\U00013442\U00016fe4\U0001d159")
_OTHER_FORMATS = frozenset({".bib", ".csv", ".json", ".md", ".pdf", ".png", ".svg", ".tex", ".txt"})
_OWN = Path(__file__).parent
_INSTALLED = (_OWN, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")))


class MendableError(Exception):
    """An error whose message tells the user what to do."""

    hint: ClassVar[str] = ""
    """What the command line adds."""
    asked: ClassVar[bool] = False
    """Whether it is what was asked for that cannot be, so that nothing was begun: the command line's exit status 2."""


class ContractError(MendableError, TypeError):
    """A rule or an attack returned something that it must not; the message says what it must."""


class FunctionError(MendableError, ValueError):
    """A plain function of the user's raised an error, or returned NaN or Inf, maybe for what is in the rows."""


class MakerError(FunctionError):
    """What somebody's own class or function refused or stumbled over when it was to make what it is named for."""

    asked = True


def no_page(file: Path) -> str:
    """Why a page cannot go by this name, in a sentence; nothing if it can."""
    if file.suffix.lower() not in _OTHER_FORMATS:
        return ""
    return f"{file}: a page is HTML; name a file such as {file.with_suffix('.html').name}"


def place_in(error: BaseException) -> str:
    """Where an error was raised, in the user's own code: "in trim, my/module.py, line 12"; nothing if nowhere there."""
    file, line, function = _origin(error)
    return "" if file is None or _installed(Path(file)) else f"in {function}, {file}, line {line}"


def own_fault(error: BaseException) -> str:
    """What the user's own code raised, and where: "ValueError: no (in net, my/module.py, line 12)".

    Nothing of an error that fedward raised, whoever called it: that has words of its own.
    """
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    last = next((file for file in reversed(frames) if file.is_relative_to(_OWN) or not _installed(file)), None)
    where = place_in(error)
    if isinstance(error, MendableError) or not where or last is None or last.is_relative_to(_OWN):
        return ""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said} ({where})"


def sentence(error: BaseException) -> str:
    """What an error means to whoever gave the command.

    Errors that the user can mend have their own words. Of all others it is said what they are and where they come from:
    the user's own rules and attacks, or fedward.
    """
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, ModuleNotFoundError) and (missing := missing_extra(error)):
        return missing
    if isinstance(error, MendableError):
        return f"{error} {error.hint}".rstrip()
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        where = f" ({place_in(error)})" if own_fault(error) else ""
        return (f"{error.filename}: {reason}" if error.filename is not None else reason) + where
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or ("memory" in said and "allocate" in said):
        return "there is not enough memory for this: take fewer clients, or a smaller model"
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    file, line, function = _origin(error)
    whose = (
        ""
        if file is None or not _installed(Path(file))
        else "; unless a rule or an attack of your own is at work, a fault of fedward: please report it"
    )
    place = "" if file is None else f" (in {function}, {file}, line {line}{whose}; {TRACEBACK}=1 shows the way there)"
    return what + place


def tamed(text: object, most: int = 200) -> str:
    """What a stranger wrote, such as a name in a file of theirs, as a message may repeat it.

    It is cut, and of characters that a terminal obeys, cannot show or shows nothing of only the code is left.
    """
    whole = str(text)
    shown = "".join(c if _seen(c) else c.encode("unicode_escape").decode() for c in whole[:most])
    return shown if len(whole) <= most else f"{shown}... ({len(whole):,} characters)"


def tamed_lines(text: str) -> str:
    """The same of a whole text, none of which is cut: its lines stay lines."""
    return "\n".join(tamed(line, len(line)) for line in text.split("\n"))


def as_seen(text: str) -> str:
    """A name as it is seen: in its usual letters (NFKC), without what cannot be seen, one space between its words.

    Two names that differ in nothing that is seen become one.
    """
    usual = normalize("NFKC", _IGNORED.sub("", normalize("NFKC", text)))  # once more: what was kept apart may be one
    return " ".join("".join(c if _seen(c) else " " for c in usual).split())


def _seen(c: str) -> bool:
    """Whether a character leaves a mark, or is the space."""
    return c.isprintable() and not _IGNORED.match(c) and c not in _BLANK


def install(extra: str) -> str:
    """How to install what an extra holds: its packages by name, since fedward itself is in no package index."""
    return f"pip install {_PACKAGES[extra]} (in a clone: pip install '.[{extra}]')"


def missing_extra(error: ModuleNotFoundError) -> str:
    """How to install what the command needs, if that is what is missing; else nothing."""
    name = (error.name or "").partition(".")[0]
    return f"the fedward command needs {name}: {install(_EXTRAS[name])}" if name in _EXTRAS else ""


def _origin(error: BaseException) -> tuple[str | None, int | None, str]:
    """File, line and function: of the last frame that is the user's, else of the last one that is fedward's."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not _installed(Path(f.filename)) and not f.filename.startswith("<")]
    ours = [f for f in frames if Path(f.filename).is_relative_to(_OWN)]
    if not (theirs or ours):
        return None, None, ""
    last = (theirs or ours)[-1]
    return last.filename, last.lineno, last.name


def _installed(file: Path) -> bool:
    return any(file.is_relative_to(place) for place in _INSTALLED)
