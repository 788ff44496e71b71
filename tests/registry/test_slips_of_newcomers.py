"""Names as newcomers write them at first, and what is said of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import fedward as fw


@pytest.mark.parametrize("written", ["median,mean", "Median, trimmed_mean", "alie,min-max"])
def test_several_names_in_one_text(written: str) -> None:
    with pytest.raises(ValueError, match=f"'{written}' are several: give each by itself, as an option of its own"):
        fw.parse(written)


def test_a_comma_beside_a_name_that_nobody_has() -> None:
    with pytest.raises(ValueError, match="unknown name 'median,meen'; did you mean 'median'"):
        fw.parse("median,meen")


def test_a_module_of_this_folder_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_near.py").write_text("")
    with pytest.raises(ValueError, match=r"No module named 'mine_naer'; did you mean 'mine_near'\?"):
        fw.parse("mine_naer:trim")
    with pytest.raises(ValueError, match="No module named 'zzz'; write it like"):
        fw.parse("zzz:trim")


def test_a_class_without_its_decorator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "undecorated_one.py").write_text(
        "import fedward as fw\n\n\n"
        "class Plain(fw.Rule):\n    def decide(self, updates, state, context): ...\n\n\n"
        "class Bare: ...\n"
    )
    remedy = r"write @dataclass\(frozen=True, kw_only=True\) above class Plain$"
    with pytest.raises(ValueError, match=remedy):
        fw.parse("undecorated_one.Plain")
    plain = importlib.import_module("undecorated_one").Plain
    with pytest.raises(ValueError, match=remedy):
        fw.register("bare-of-it", paper="-")(plain)
    with pytest.raises(TypeError, match=f"Plain is none: {remedy}"):
        fw.Aggregator(plain())
    with pytest.raises(ValueError, match=r"a dataclass derived from one of those is needed$"):
        fw.parse("undecorated_one.Bare")
