"""A misspelt argument of `RobustFedAvg`, of its own or of Flower's, which are passed on: the nearest is named."""

from __future__ import annotations

from typing import Any

import pytest

from fedward.flower import RobustFedAvg, legacy


@pytest.mark.parametrize("made", [RobustFedAvg, legacy.RobustFedAvg])
@pytest.mark.parametrize(("wrong", "meant"), [("batch_nrom", "batch_norm"), ("max_skiped", "max_skipped")])
def test_of_its_own(made: Any, wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"RobustFedAvg has no argument '{wrong}'; did you mean '{meant}'"):
        made(rule="median", **{wrong: 1})


@pytest.mark.parametrize(
    ("made", "wrong", "meant"),
    [(RobustFedAvg, "fraction_trian", "fraction_train"), (legacy.RobustFedAvg, "fraction_fti", "fraction_fit")],
)
def test_of_flowers(made: Any, wrong: str, meant: str) -> None:
    with pytest.raises(TypeError, match=f"no argument '{wrong}'; did you mean '{meant}'"):
        made(rule="median", **{wrong: 0.5})
    made(rule="median", **{meant: 0.5})
