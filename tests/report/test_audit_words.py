"""What an audit's page says in words: how it is read, and what one vote would have caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import torch

from fedward.audit import Calibration, Caught, Opinion, PanelMember, members_of, usual_panel
from fedward.report import of_one_vote
from fedward.report.audit_words import IDEAS, how_to_read
from fedward.rules import Median
from tests.report.test_many_clients import audit


def caught(attack: str, together: float, by_any: float, wrongly_by_any: float) -> Caught:
    return Caught(
        attack=attack,
        by_rule=(),
        wrongly=(),
        together=together,
        wrongly_together=0.0,
        by_any=by_any,
        wrongly_by_any=wrongly_by_any,
    )


def test_what_one_vote_would_have_caught_is_told_with_its_price() -> None:
    attacks = (
        caught("no-attack", 0.0, 0.5, 0.1),
        caught("sign-flip", 1.0, 1.0, 0.1),
        caught("alie:z=1.0", 0.0, 1.0, 0.2),
        caught("min-max", 0.25, 0.75, 0.0),
    )
    found = Calibration(forgers=2, honest=7, attacks=attacks)
    assert of_one_vote(found) == (
        "If one rule were enough (fedward audit --votes 1), more would have been caught: alie:z=1.0 100% (not 0%), "
        "min-max 75% (not 25%); and of the others up to 50% wrongly. "
        "Each attack was played once, by 2 clients beside 7."
    )
    assert of_one_vote(replace(found, attacks=attacks[:2])) == ""


def test_words_are_those_of_the_rules_that_were_asked() -> None:
    def said(members: Sequence[PanelMember]) -> str:
        opinions = tuple(Opinion(member=member, suspects=torch.zeros(12, dtype=torch.bool)) for member in members)
        return how_to_read(replace(audit(12), opinions=opinions, base="b.pt"))

    text = said(usual_panel(12))
    assert all(f"<li><b>{idea}</b>: {escape(question)}</li>" in text for idea, question in IDEAS.items())
    assert "Honest clients with rare data look like liars to every rule" in text
    own = said(members_of([Median()]))
    assert "<li><b>median</b>: a rule that somebody named</li>" in own
    assert "spectral" not in own
