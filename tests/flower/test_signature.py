"""`RobustFedAvg` spells out the options of `Robust`, for editors and type checkers: here they are held together."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("flwr")

from fedward.flower import Robust, RobustFedAvg


def test_options_are_those_of_robust() -> None:
    own = dict(inspect.signature(RobustFedAvg).parameters)
    theirs = dict(inspect.signature(Robust).parameters)
    del own["fedavg"]
    del theirs["strategy"]
    assert own == theirs
