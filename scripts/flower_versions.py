"""The tests of fedward.flower with the oldest, the pinned and the newest version of Flower.

    python scripts/flower_versions.py                        # all three, all of tests/flower
    python scripts/flower_versions.py newest -- -k silence   # one of them, or a version such as 1.40.0; pytest's own

Each gets a throw-away environment that borrows all other packages from the one that runs this script, and installs that
Flower with what it needs besides. Exit status: 0 if all of them pass.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
NAMES = ("oldest", "pinned", "newest")


def requirement(name: str) -> str:
    """What pip is to install for one of the names, or for a version."""
    oldest = _found(r'"flwr\[simulation\]>=([\d.]+)', ROOT / "pyproject.toml")
    if name == "oldest":
        return f"flwr~={oldest}.0" if oldest.count(".") == 1 else f"flwr=={oldest}"
    if name == "pinned":
        pinned = _found(r"^flwr==([\d.]+)$", ROOT / "constraints.txt")
        return f"flwr=={pinned}"
    return f"flwr>={oldest}" if name == "newest" else f"flwr=={name}"


def _found(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise SystemExit(f"{file.name} names no version of flwr")
    return match[1]


def environment(folder: Path, wanted: str) -> Path:
    """An environment with that Flower, and everything else borrowed: its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    place = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    # As a site of its own, so that packages that are installed editable are borrowed as well.
    borrowed = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (Path(place) / "borrowed.pth").write_text(borrowed, encoding="utf-8")
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "--upgrade", wanted])
    return python


def tried(name: str, arguments: Sequence[str]) -> int:
    """Run the tests with one Flower: pytest's exit status."""
    wanted = requirement(name)
    with TemporaryDirectory() as folder:
        python = environment(Path(folder) / "env", wanted)
        version = subprocess.check_output(
            [python, "-c", "from importlib.metadata import version; print(version('flwr'))"], text=True
        ).strip()
        print(f"{name}: {wanted}, which is flwr {version}", flush=True)
        return subprocess.call(
            [python, "-m", "pytest", "tests/flower", "-q", "-p", "no:cacheprovider", *arguments], cwd=ROOT
        )


def main() -> int:
    """Try each of the versions that are asked for."""
    given, more = sys.argv[1:], list[str]()
    if "--" in given:
        at = given.index("--")
        given, more = given[:at], given[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=NAMES, help="oldest, pinned, newest, or a version")
    codes = {name: tried(name, more) for name in parser.parse_args(given).versions}
    for name, code in codes.items():
        print(f"{name}: {'passed' if code == 0 else f'pytest ended with {code}'}")
    return int(any(codes.values()))


if __name__ == "__main__":
    sys.exit(main())
