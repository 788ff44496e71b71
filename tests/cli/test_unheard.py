"""Rules that decide by alarms, among clients that raise none."""

from __future__ import annotations

from typing import Any

import pytest

from fedward.experiments.spec import make_spec

FEW: dict[str, Any] = {"data": "fashion-mnist-subset", "model": "linear", "clients": 6, "byzantine": 2, "rounds": 1}
ALARMS = "siren-client:inner=(local-sgd:steps=2)"


@pytest.mark.parametrize("rule", ["siren", "delayed:base=siren,start=3", "clip-norm:radius=median >> siren"])
def test_a_rule_that_hears_no_alarm_says_so_and_what_to_take(rule: str) -> None:
    told = make_spec({**FEW, "rule": rule}).warning
    assert "clients of gradient raise none" in told
    assert "siren-client" in told
    assert make_spec({**FEW, "rule": rule, "algorithm": ALARMS}).warning == ""


@pytest.mark.parametrize("algorithm", ["gradient", ALARMS])
def test_others_say_nothing(algorithm: str) -> None:
    assert make_spec({**FEW, "rule": "median", "algorithm": algorithm}).warning == ""
