"""The page about one's own data, followed in an empty folder as it is printed."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedward.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-data.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def given(folder: Path) -> None:
    """What the page takes for granted: scans and photos of one's own."""
    (folder / "scans").mkdir()
    for i in range(40):
        np.save(folder / "scans" / f"scan-{i:02d}-{i % 3}.npy", np.full((1, 4, 4), i % 3, np.float32))
    for part in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            (folder / "photos" / part / name).mkdir(parents=True)
            for i in range(3):
                picture = np.full((10 + i, 9, 3), 90 * label, np.uint8)
                Image.fromarray(picture).save(folder / "photos" / part / name / f"{i}.png")


def test_the_page_works_as_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given(tmp_path)
    commands = 0
    try:
        for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if language == "sh":
                for line in text.replace("\\\n", "").splitlines():
                    words = [word for part in shlex.split(line)[1:] for word in expanded(part)]
                    outcome = CliRunner().invoke(app, words)
                    assert outcome.exit_code == 0, f"{line}\n{outcome.output}{outcome.stderr}"
                    commands += 1
            elif file := re.match(r"# (\w+\.(?:py|toml))\n", text):
                (tmp_path / file[1]).write_text(text)
            else:
                scope: dict[str, object] = {}
                exec(text, scope)
                assert scope["records"]
    finally:
        for name in ("mine", "lazily"):
            sys.modules.pop(name, None)
    assert commands == 8
    assert all((tmp_path / page).is_file() for page in ("data.html", "report.html", "redteam/report.html"))


def expanded(word: str) -> list[str]:
    """As the shell would."""
    return sorted(str(path) for path in Path.cwd().glob(word)) if "*" in word else [word]
