"""Commands that are killed and given again: the short form of ``python scripts/kills.py``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.loaded import module_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "kills.py"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as only POSIX systems know it")


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    return module_of(SCRIPT)


@pytest.mark.parametrize("name", ["run", "aggregate", "Flower server"])
def test_killed_and_given_again_is_the_same(kills: ModuleType, name: str, tmp_path: Path) -> None:
    came = kills.disturbed(kills.SURFACES[name], tmp_path, 2, 1)
    assert came.kills == 2
    assert came.wrong == []


def test_what_is_partial_or_another_is_seen(kills: ModuleType, tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        with (folder / "out").open("a") as file:
            file.write("half")
            file.flush()
            time.sleep(0.2)
            file.write("half")

    surface = kills.Surface(
        prepare=lambda folder: None,
        work=work,
        content=lambda folder: (folder / "out").read_text(),
        partial=lambda folder, due: None if (folder / "out").read_text() == due else "half of it",
    )
    came = kills.disturbed(surface, tmp_path, 3, 1)
    assert any("half of it" in text for text in came.wrong)
    assert any("it is another" in text for text in came.wrong)
