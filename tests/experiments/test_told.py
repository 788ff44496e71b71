"""What rules are told of f: as many byzantine clients as there are, half, twice as many, or nothing."""

from __future__ import annotations

import pytest

from fedward.experiments.spec import SpecError, make_spec


@pytest.mark.parametrize(("f", "told"), [("expected", 7), ("half", 3), ("twice", 14)])
def test_rules_are_told(f: str, told: int) -> None:
    spec = make_spec({"rule": "trimmed-mean", "byzantine": 7, "f": f})
    assert spec.resolved()["rule"] == f"trimmed-mean:f={told}"
    assert spec.answers.byzantine == 7
    assert make_spec({"rule": {"name": "trimmed-mean"}, "byzantine": 7, "f": f}).rule == f"trimmed-mean:f={told}"
    assert make_spec({"rule": "trimmed-mean:f=5", "byzantine": 7, "f": f}).resolved()["rule"] == "trimmed-mean:f=5"


def test_what_a_rule_cannot_take_is_refused() -> None:
    with pytest.raises(SpecError, match="Bulyan"):
        make_spec({"rule": "bulyan", "byzantine": 10, "f": "twice"})
    with pytest.raises(SpecError, match="f is unknown"):
        make_spec({"rule": "bulyan", "byzantine": 10, "f": "unknown"})


def test_half_of_what_answers_is_half_of_what_is_expected() -> None:
    some = {"rule": "trimmed-mean", "byzantine": 20, "participation": 0.4}
    half = make_spec({**some, "f": "half"}).resolved()["rule"]
    assert half == make_spec({**some, "byzantine": 10}).resolved()["rule"]
