"""Files that are not there are said to be missing in each place once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedward.data.named import KNOWN
from fedward.data.sources import DataError, read_source


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_each_place_is_named_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FEDWARD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError) as wrong:
        read_source(KNOWN[name], download=False)
    told = re.search(r"not in (.*?); downloading is switched off", str(wrong.value))
    assert told is not None
    places = told[1].split(", ")
    assert places[0] == str(tmp_path / "data" / name)
    assert len(places) == len(set(places))
