"""SIREN's rule against its oracle, round by round, and each branch of its decision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.clients.siren import raises_alarm
from fedward.core.state import recall
from fedward.rules.messages import alarms, by_examples
from fedward.stack import Gram
from fedward.testing import Check
from tests.conformance.alarms import BAD, GOOD, IDS, D, Scorer, one_round, with_a_ban
from tests.oracles import siren


def rounds(seed: int, official: bool) -> Iterator[tuple[list, np.ndarray, list[int], list[float]]]:
    """Clients that come and go; some liars, of all kinds."""
    rng = np.random.default_rng(seed)
    for t in range(25):
        present = sorted(rng.permutation(len(IDS))[: rng.integers(3, len(IDS) + 1)])
        good = rng.normal(size=D) * 0.2
        rows = np.array([good + 0.3 * rng.normal(size=D) if i > 2 else -3 * good + rng.normal(size=D) for i in present])
        chance = (0.0, 0.5, 1.0, 0.15)[t % 4]
        said = [int(rng.random() < (0.8 if i < 2 else chance)) for i in present]
        yield [IDS[i] for i in present], rows, said, [float(x) for x in rng.integers(1, 9, len(present))]


# Readings of the award differ only where somebody is banned: hence low penalties.
BOTH = [
    {},
    {"weighted": True, "penalty": 0.1},
    {"threshold": 0.02, "award_by": 2.0, "penalty": 0.2},
    {"weight_analysis": False, "penalty": 0.2},
]
PAPER = [
    {"rollback": "printed"},
    {"award": "alarm rounds", "penalty": 0.2},
    {"award": "quiet rounds", "penalty": 0.2},
    {"award": "quiet rounds", "threshold": 0.02, "award_by": 2.0, "penalty": 0.2},
    {"divergent": "best-of-all", "penalty": 0.3},
    {"divergent": "best-of-all", "award": "alarm rounds", "rollback": "printed", "penalty": 0.2},
    {"penalty_of": "rounds", "penalty": 0.2},
]
ORACLE_NAMES = ("threshold", "penalty", "penalty_of", "award", "award_by", "divergent", "weight_analysis")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("variant", "changes"), [*(("paper", c) for c in [*BOTH, *PAPER]), *(("official", c) for c in BOTH)], ids=str
)
def test_equals_its_oracle(seed: int, changes: dict, variant: str) -> None:
    official = variant == "official"
    rng = np.random.default_rng(seed + 100)
    target, start = rng.normal(size=D), rng.normal(size=D)
    rule = rules.SIREN(variant=variant, rounds=8, **changes)
    aggregate, scorer = fw.Aggregator(rule), Scorer(target, start)
    bounds = {k: v for k, v in changes.items() if k in ORACLE_NAMES}
    bounds["base"] = rule.rollback
    server = siren.SirenServer(start.copy(), scorer.accuracy, official=official, total_rounds=8, **bounds)
    for ids, rows, said, sizes in rounds(seed, official):
        before = server.now
        case, benign, used = server.step(rows, ids, said, sizes if rule.weighted else None)
        scorer.model, scorer.asked = before, 0
        messages = {c: {"alarm": bool(a), "samples": s} for c, a, s in zip(ids, said, sizes, strict=True)}
        result = aggregate(rows, ids=ids, messages=messages, evaluator=scorer)
        assert result.note == case
        assert [c for c, ok in zip(ids, result.accepted, strict=True) if ok] == used
        assert scorer.asked == server.evaluated, "models are evaluated only where the decision needs it"
        np.testing.assert_allclose(before + result.output, server.now, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(result.scores["malicious index"], [server.counts[c] for c in ids])
        for client, ok, reason in zip(ids, result.accepted, result.reasons, strict=True):
            assert (reason is fw.Reason.BANNED) == (client in benign and not ok)


def test_every_case_is_met() -> None:
    met = {siren.SILENT: 0, siren.FALSE: 0, siren.TRUE: 0, siren.DIVERGENT: 0, siren.SINGLE: 0}
    for seed in range(12):
        for official in (False, True):
            rng = np.random.default_rng(seed + 100)
            target, start = rng.normal(size=D), rng.normal(size=D)
            server = siren.SirenServer(start.copy(), Scorer(target, start).accuracy, official=official)
            for ids, rows, said, _ in rounds(seed, official):
                met[server.step(rows, ids, said)[0]] += 1
    assert min(met.values()) > 0, met


def test_without_alarms_it_is_the_mean_and_nothing_is_evaluated() -> None:
    scorer = Scorer(np.zeros(2), np.zeros(2))
    rows = np.array([GOOD, BAD, [0.0, 2.0]])
    result = fw.Aggregator(rules.SIREN())(rows, evaluator=scorer)
    np.testing.assert_allclose(result.output, rows.mean(0))
    assert (result.note, scorer.asked, result.accepted.all()) == ("no alarm", 0, True)


def test_false_alarms_of_bad_clients_change_nothing() -> None:
    result = one_round([GOOD, GOOD, GOOD, BAD, BAD], [False, False, False, True, True])
    assert result.note == "false alarms"
    assert result.accepted.tolist() == [True, True, True, False, False]
    assert set(result.reasons[3:]) == {fw.Reason.FALSE_ALARM}
    np.testing.assert_allclose(result.output, GOOD)


def test_true_alarms_of_good_clients_drop_the_silent() -> None:
    result = one_round([GOOD, GOOD, BAD, BAD, BAD], [True, True, False, False, False])
    assert result.note == "true alarms"
    assert result.accepted.tolist() == [True, True, False, False, False]
    assert set(result.reasons[2:]) == {fw.Reason.NO_ALARM}
    assert result.scores["malicious index"].tolist() == [0, 0, 1, 1, 1]


def test_divergent_alarms_keep_those_that_pass() -> None:
    result = one_round([GOOD, [0.9, 0.0], BAD, GOOD], [True, True, True, False])
    assert result.note == "divergent alarms"
    assert result.accepted.tolist() == [True, True, False, False]
    assert result.reasons[2:] == (fw.Reason.INACCURATE, fw.Reason.NO_ALARM)


def test_an_equally_accurate_update_that_turns_away_is_refused_by_its_weights() -> None:
    result = one_round([[0.01, 0.0], [-0.01, 0.0], GOOD], [False, False, True], threshold=0.5)
    assert (result.note, result.reasons[0]) == ("false alarms", fw.Reason.ACCEPTED)
    assert result.reasons[1] is fw.Reason.DIRECTION_OUTLIER


@pytest.mark.parametrize(("rollback", "expected"), [("recovered", [1.0, 0.0]), ("printed", [1.0 - 0.75, 0.0])])
def test_steps_back(rollback: str, expected: list[float]) -> None:
    aggregate = fw.Aggregator(rules.SIREN(rollback=rollback))
    first = one_round([GOOD, GOOD, GOOD, [0.0, 0.0]], [False] * 4, aggregate)
    np.testing.assert_allclose(first.output, [0.75, 0.0])
    second = one_round([GOOD, GOOD, BAD, BAD], [True, True, False, False], aggregate)
    np.testing.assert_allclose(second.output, expected)


def test_alarms_of_the_banned_do_not_count_and_somebody_is_always_left() -> None:
    aggregate = fw.Aggregator(rules.SIREN(penalty=0.0))
    one_round([GOOD, GOOD, BAD], [True, True, False], aggregate)
    banned = one_round([GOOD, GOOD, BAD], [False, False, True], aggregate)
    assert (banned.note, banned.accepted.tolist()) == ("no alarm", [True, True, False])
    last = one_round([BAD, GOOD, GOOD], [True, True, False], aggregate)
    assert last.accepted.tolist() == [False, True, False]
    everybody_banned = one_round([GOOD, BAD, GOOD], [True, True, True], aggregate)
    assert everybody_banned.accepted.tolist() == [False, True, False]


# --- divergent alarms ---------------------------------------------------------------------------------------

# Two attackers that alarm with models unlike each other, and eight honest clients that are silent.
HOLE = ([[-3.0, 0.0], [-0.4, 0.0], *[GOOD] * 8], [True, True, *[False] * 8])


def test_divergent_alarms_are_a_hole_as_printed_and_none_against_the_best_of_all() -> None:
    printed = one_round(*HOLE)
    assert printed.note == "divergent alarms"
    assert printed.accepted.tolist() == [False, True] + [False] * 8
    closed = one_round(*HOLE, divergent="best-of-all")
    assert closed.note == "divergent alarms"
    assert closed.accepted.tolist() == [False, False] + [True] * 8
    assert closed.scores["malicious index"].tolist() == [1, 1] + [0] * 8


def test_an_attacker_that_is_the_best_of_all_has_the_others_thrown_out() -> None:
    """What "best-of-all" does not close: few samples of the server's may call the attacker's model the best."""
    rows, said = [[-1.0, 2.0], BAD, [-1.0, -2.0], [-1.0, -2.0]], [True, True, False, False]
    scorer = Scorer(np.array(rows[0]), np.zeros(2))
    aggregate = fw.Aggregator(rules.SIREN(divergent="best-of-all"))
    lost = aggregate(np.array(rows), messages={i: {"alarm": a} for i, a in enumerate(said)}, evaluator=scorer)
    assert lost.note == "divergent alarms"
    assert lost.accepted.tolist() == [True, False, False, False]


# --- what C_p counts, and angles ----------------------------------------------------------------------------


@pytest.mark.parametrize(("penalty_of", "rounds_until_banned"), [("clients", 3), ("rounds", 6)])
def test_what_the_penalty_is_a_share_of(penalty_of: str, rounds_until_banned: int) -> None:
    """0.5 of 4 clients, or of 10 rounds."""
    aggregate = fw.Aggregator(rules.SIREN(penalty=0.5, penalty_of=penalty_of, rounds=10))
    banned = []
    for _ in range(8):
        one_round([GOOD] * 3 + [BAD], [True] * 3 + [False], aggregate)
        banned.append(bool(recall(aggregate.state, "banned", [3], 0)))
    assert banned.index(True) + 1 == rounds_until_banned


def test_without_weight_analysis_angles_do_not_count_and_are_not_asked_for() -> None:
    rows, said = [[0.01, 0.0], [-0.01, 0.0], GOOD], [False, False, True]
    result = one_round(rows, said, threshold=0.5, weight_analysis=False)
    assert result.accepted.tolist() == [True, True, False]
    context = fw.Context(messages={0: {"alarm": True}})
    assert rules.SIREN(weight_analysis=False).statistics({}, context) == ()
    assert rules.SIREN().statistics({}, context) == (Gram(),)


def test_angles_are_asked_for_together_with_the_rest_where_somebody_is_banned() -> None:
    """Else each such round would read the data once more."""
    state = with_a_ban().state
    assert rules.SIREN().statistics(state, fw.Context()) == (Gram(),)
    assert rules.SIREN().statistics({}, fw.Context()) == ()
    assert rules.SIREN(award="quiet rounds").statistics(state, fw.Context()) == ()


# --- the authors' code steps back ---------------------------------------------------------------------------


def test_the_authors_code_steps_back_after_any_round_with_a_row_that_is_not_used() -> None:
    """After any alarms, and without them where somebody is banned; of successive rounds after every other one."""
    aggregate = fw.Aggregator(rules.SIREN(variant="official", penalty=0.2, rounds=10))  # banned from an index of 2 on
    step = np.array(GOOD)
    outputs = [one_round([GOOD, GOOD, GOOD], [False] * 3, aggregate).output]
    for said in ([False, False, True], [True, False, True]):  # a single alarm, then a true one and a false one
        outputs.append(one_round([GOOD, GOOD, BAD], said, aggregate).output)
    outputs += [one_round([GOOD, GOOD, GOOD], [False] * 3, aggregate).output for _ in range(3)]
    back = [not np.allclose(output, step) for output in outputs]
    assert back == [False, True, False, True, False, True]


def test_alarms_without_root_data_are_an_error() -> None:
    with pytest.raises(ValueError, match="data of the server's own"):
        fw.Aggregator(rules.SIREN())(np.ones((3, 2)), messages={0: {"alarm": True}})


@pytest.mark.parametrize("said", [None, 7, "alarm", {"alarm": "yes"}, {"alarm": torch.ones(2)}, {"alarm": [1]}, {}])
def test_nonsense_is_no_alarm(said: object) -> None:
    assert not alarms([0], fw.Context(messages={0: said})).any()


@pytest.mark.parametrize("said", [True, 1, np.True_])
def test_what_counts_as_an_alarm(said: object) -> None:
    assert alarms([0, 1], fw.Context(messages={0: {"alarm": said}})).tolist() == [True, False]


def test_samples_that_cannot_be_count_for_nothing() -> None:
    said = [{"samples": s} for s in (30, 10, -5, float("nan"), float("inf"), "many", True, None, 10**400)]
    weights = by_examples(range(9), fw.Context(messages=dict(enumerate(said))))
    assert weights.tolist() == [0.75, 0.25] + [0.0] * 7
    rows = np.arange(18.0).reshape(9, 2)
    mean = fw.Aggregator(rules.Mean(weighted=True))(rows, messages=dict(enumerate(said))).output
    np.testing.assert_allclose(mean, 0.75 * rows[0] + 0.25 * rows[1])
    np.testing.assert_allclose(fw.Aggregator(rules.Mean())(rows, messages=dict(enumerate(said))).output, rows.mean(0))


@pytest.mark.parametrize("variant", ["tolerant", "printed", "official"])
def test_the_client_s_alarm_equals_its_oracle(variant: str) -> None:
    for server in range(0, 101, 2):
        for own in range(101):
            expected = siren.siren_client_alarm(server / 100, own / 100, 0.04, variant)
            assert raises_alarm(server / 100, own / 100, 0.04, variant) == bool(expected), (server, own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, "threshold is a number from 0 to 1"),
        ({"penalty": -1.0}, "penalty is a number of at least 0"),
        ({"rollback": "last"}, "rollback is one of recovered, printed, got 'last'"),
        ({"variant": "code"}, "variant is one of paper, official, got 'code'"),
    ],
)
def test_bounds(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.SIREN(**changes)


@fw.testing.parametrize([rules.SIREN(rollback="printed"), rules.Delayed(base=rules.Krum(f=1), start=2)])
def test_conforms(check: Check) -> None:
    check()


def test_delayed_is_the_mean_and_then_the_rule() -> None:
    rows = np.arange(8.0).reshape(4, 2) ** 2
    aggregate = fw.Aggregator(rules.Delayed(base=rules.Median(), start=2))
    outputs = [aggregate(rows).output for _ in range(3)]
    np.testing.assert_allclose(outputs[0], rows.mean(0))
    np.testing.assert_allclose(outputs[1], rows.mean(0))
    np.testing.assert_allclose(outputs[2], np.median(rows, 0))
