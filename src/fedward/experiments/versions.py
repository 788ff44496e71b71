"""What a figure depends on besides its settings: versions, the commit, a digest of the code that decides figures."""

from __future__ import annotations

import ast
import hashlib
import io
import platform
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = Path(__file__).parent.parent

# What decides no figure of a run: how it is asked for, shown, stored and tested, and what works without runs (audits of
# files, other frameworks, several processes). What is not named here counts.
BESIDE = frozenset(
    {
        "__init__.py",
        "__main__.py",
        "audit",
        "cli",
        "distributed",
        "experiments",
        "failures.py",
        "flower",
        "nvflare.py",
        "published",
        "redteam",
        "report",
        "sweeps",
        "testing",
    }
)


def versions(*more: str) -> dict[str, str | None]:
    """What to write beside figures, so that they can be told from those of other code.

    Args:
        more: folders of the package that decide these figures too, such as ``"redteam"``.

    Returns:
        ``fedward``, ``commit`` (None where the package is not part of a git checkout, with a plus sign where its files
        differ from the commit), ``code`` (a digest that can be compared without git), ``torch``, ``numpy``, ``python``,
        and ``numba`` (None where it is not installed).
    """
    return {
        "fedward": metadata.version("fedward"),
        "commit": commit(),
        "code": code(*more),
        "torch": torch.__version__,
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
        "numba": _installed("numba"),
    }


@cache
def commit() -> str | None:
    """The commit of the package's sources, with ``+`` if they differ from it; None if they are in no git checkout."""
    tracked = git("ls-files", "--error-unmatch", "__init__.py")
    head = git("rev-parse", "--short=12", "HEAD")
    if tracked is None or head is None:
        return None
    return head + ("+" if git("status", "--porcelain", "--", ".") else "")


def git(*arguments: str, folder: Path = PACKAGE) -> str | None:
    """What git says in a folder; None if it fails or is not installed."""
    try:
        asked = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.stdout.strip()


@cache
def code(*more: str) -> str:
    """A digest of the statements that decide figures; comments, docstrings and blank lines do not count.

    It is taken once a process, so that it is of the code that runs and not of what a file became meanwhile.
    """
    return code_digest(PACKAGE, BESIDE - frozenset(more))


def code_digest(folder: Path, beside: frozenset[str] = frozenset()) -> str:
    """Of all Python files below a folder, those named ``beside`` at its top left out."""
    total = hashlib.sha256()
    for file in deciding(folder, beside):
        total.update(f"{file.relative_to(folder).as_posix()}\n".encode())
        total.update(statements(file.read_text(encoding="utf-8")).encode())
    return total.hexdigest()[:12]


def deciding(folder: Path, beside: frozenset[str] = frozenset()) -> list[Path]:
    """The files that `code_digest` is of, in the order of their paths."""
    files = (file for file in folder.rglob("*.py") if file.relative_to(folder).parts[0] not in beside)
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def statements(source: str) -> str:
    """The source without comments, docstrings, blank lines and spaces at the ends of lines."""
    # As Python counts them: `str.splitlines` ends lines at form feeds and separators of Unicode, too.
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    lines = source.split("\n")
    for first, start, last, end in sorted(_idle(source), reverse=True):  # from behind, so that places stay right
        rest = lines[last][end:]
        lines[first] = lines[first][:start] + rest
        del lines[first + 1 : last + 1]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _idle(source: str) -> Iterator[tuple[int, int, int, int]]:
    """Where comments and docstrings lie: first line and character, last line and the character after."""
    text = io.StringIO(source)
    docstrings = set(_docstrings(ast.parse(source)))
    for token in tokenize.generate_tokens(text.readline):
        first, last = token.start[0] - 1, token.end[0] - 1
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.start in docstrings):
            yield first, token.start[1], last, token.end[1]


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """The line and the character where each docstring begins."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for item in node.body:
            # A string that stands alone is documentation, of what it stands in or of what stands before it.
            value = item.value if isinstance(item, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield item.lineno, item.col_offset  # in bytes, but before it there are spaces alone


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
