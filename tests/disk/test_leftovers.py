"""Leftovers of one file's writers are told from those of files with names that begin alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedward.disk import remove_leftovers, replacing

LONG = "a name of which there are many that begin alike"


@pytest.mark.parametrize(
    ("own", "other"), [("run.json", "run.json.bak"), ("run", "run.7-ab"), (f"{LONG} 1.pt", f"{LONG} 2.pt")]
)
def test_what_another_writer_is_at_stays(tmp_path: Path, own: str, other: str) -> None:
    writers = [replacing(tmp_path / own), replacing(tmp_path / other)]
    for writer in writers:
        writer.__enter__()
    before = set(os.listdir(tmp_path))
    assert len(before) == 2
    remove_leftovers(tmp_path / own)
    (gone,) = before - set(os.listdir(tmp_path))
    assert gone.startswith(f".{own[:20]}")
    remove_leftovers(tmp_path / other)
    assert not os.listdir(tmp_path)
