"""What brings a banned client back: SIREN's award, in its readings."""

from __future__ import annotations

import numpy as np
import pytest

import fedward as fw
from fedward import rules
from tests.conformance.alarms import BAD, GOOD, Scorer, one_round, with_a_ban

#
# These rounds pinned awards in rounds without alarms before, where the server had looked at nobody. Section 4.6 awards
# who is "regarded as benign by the server": now it looks, and the other two readings are asked for by name.


def index_of_banned(row: list, said: list[bool], **changes: object) -> float:
    """Of client 2 after it was banned and then sent this row."""
    result = one_round([GOOD, GOOD, row], said, with_a_ban(**changes))
    assert result.scores["malicious index"][:2].tolist() == [0, 0]
    assert not result.accepted[2]
    return float(result.scores["malicious index"][2])


def test_the_award_brings_a_banned_client_back() -> None:
    aggregate = with_a_ban(award_by=0.5)
    away = one_round([GOOD] * 3, [False] * 3, aggregate)
    assert away.reasons[2] is fw.Reason.BANNED
    assert away.scores["malicious index"][2] == 0.5
    assert one_round([GOOD] * 3, [False] * 3, aggregate).accepted.all()


@pytest.mark.parametrize("said", [[False] * 3, [True, True, False], [False, False, True]], ids=str)
def test_a_banned_client_is_examined_in_every_round(said: list[bool]) -> None:
    assert index_of_banned(GOOD, said) == 0.5
    assert index_of_banned(BAD, said) == 2.0, "inaccurate"
    assert index_of_banned([0.9, 0.0], said, threshold=0.03) == 0.5
    assert index_of_banned([0.8, 0.0], said, threshold=0.03) == 2.0, "worse by more than the threshold"
    assert index_of_banned([-0.1, 0.0], said, threshold=0.3) == 2.0, "turns away"
    assert index_of_banned([-0.1, 0.0], said, threshold=0.3, weight_analysis=False) == 0.5


@pytest.mark.parametrize(
    ("award", "row", "quiet", "alarmed"),
    [
        ("examined", BAD, 2.0, 2.0),
        ("examined", GOOD, 0.5, 0.5),
        ("alarm rounds", BAD, 1.0, 2.0),
        ("alarm rounds", GOOD, 1.0, 2.0),
        ("quiet rounds", BAD, 0.5, 2.0),
        ("quiet rounds", GOOD, 0.5, 2.0),
    ],
)
def test_readings_of_the_award(award: str, row: list, quiet: float, alarmed: float) -> None:
    """A silent banned client in a round without alarms, and in one of true alarms."""
    assert index_of_banned(row, [False] * 3, award=award) == quiet
    assert index_of_banned(row, [True, True, False], award=award) == alarmed


@pytest.mark.parametrize(("present", "asked"), [([0, 1, 2], 3), ([0, 1], 0), ([2], 0)])
def test_all_models_are_tried_once_in_rounds_with_somebody_banned_and_somebody_not(present: list, asked: int) -> None:
    aggregate, scorer = with_a_ban(), Scorer(np.array([2.0, 0.0]), np.zeros(2))
    aggregate(np.array([GOOD] * len(present)), ids=present, evaluator=scorer)
    assert scorer.asked == asked


def test_where_all_are_banned_nobody_is_examined() -> None:
    aggregate = fw.Aggregator(rules.SIREN(penalty=0.2))
    scorer = Scorer(np.array([2.0, 0.0]), np.zeros(2))
    said = {i: {"alarm": i < 2} for i in range(4)}
    aggregate(np.array([GOOD, GOOD, BAD, BAD]), messages=said, evaluator=scorer)
    scorer.asked = 0
    alone = aggregate(np.array([GOOD, BAD]), ids=[2, 3], messages={2: {"alarm": True}}, evaluator=scorer)
    assert (scorer.asked, alone.note) == (0, "no alarm")
    assert alone.scores["malicious index"].tolist() == [1, 1]
    assert not alone.output.any()


def test_a_client_whose_row_is_not_finite_is_neither_examined_nor_awarded() -> None:
    aggregate = with_a_ban()
    lost = one_round([GOOD, GOOD, [np.nan, 0.0]], [False] * 3, aggregate)
    assert lost.reasons[2] is fw.Reason.NONFINITE
    after = one_round([GOOD, GOOD, GOOD], [False] * 3, aggregate)
    assert (after.reasons[2], after.scores["malicious index"][2]) == (fw.Reason.BANNED, 0.5)


def test_the_award_s_amount_has_a_name_of_its_own() -> None:
    for make in (lambda: rules.SIREN(award=0.5), lambda: fw.parse("siren:award=0.5")):
        with pytest.raises(ValueError, match="the amount C_a is award_by"):
            make()


def test_the_authors_code_has_its_own_way_of_some_things() -> None:
    for changes in ({"award": "quiet rounds"}, {"divergent": "best-of-all"}, {"penalty_of": "rounds"}):
        with pytest.raises(ValueError, match='is for variant="paper"'):
            rules.SIREN(variant="official", **changes)
