"""An examination of a federation in which not every client answers in every round: rows go by whose they are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks import View
from fedward.cli.display import examination_table, refusals_told
from fedward.core import EXAMPLES
from fedward.experiments.spec import RunSpec, SpecError
from fedward.redteam import Examination, Finding, check_attacked, examine
from fedward.redteam.capture import Captured, capture
from fedward.redteam.choice import seconds_of
from fedward.redteam.play import play
from fedward.report.redteam import _spoken
from fedward.sim.forms import read_back, written
from fedward.testing import QuadraticEvaluator

BYZANTINE = (0, 2, 5)


class Watching(attacks.SignFlip):
    """Keeps whose rows it is shown."""

    def forge(self, view: View) -> fw.Updates:
        seen_by_attack.append((tuple(view.honest.ids), tuple(view.own.ids)))
        return super().forge(view)


class Listening(rules.Mean):
    """Keeps whose rows it is given, and what each says of its number of samples."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        said: dict[Hashable, Any] = {client: context.messages[client][EXAMPLES] for client in updates.ids}
        seen_by_rule.append(said)
        return super().decide(updates, state, context)


seen_by_attack: list[tuple[tuple[Hashable, ...], tuple[Hashable, ...]]] = []
seen_by_rule: list[dict[Hashable, Any]] = []


def spec() -> RunSpec:
    return RunSpec(
        data="fashion-mnist-subset", model="linear", clients=8, byzantine=BYZANTINE, participation=0.5, rounds=2,
        rule="mean", batch_size=8, partition="quantity-skew",
    )  # fmt: skip


def test_liars_are_the_byzantine_clients_that_take_part() -> None:
    simulation = spec().simulation()
    present = [[c for c, ok in enumerate(r.accepted) if ok is not None] for r in simulation.run(5)][1:]
    captured = capture(spec(), warmup=1, rounds=4)
    assert [list(now.clients or ()) for now in captured] == present
    seen_by_attack.clear()
    seen_by_rule.clear()
    play(Listening(), Watching(), captured, BYZANTINE)
    sizes = [len(shard) for shard in simulation.data.shards]
    assert seen_by_rule[-4:] == [{c: sizes[c] for c in clients} for clients in present]
    expected = [
        (tuple(c for c in clients if c not in BYZANTINE), tuple(c for c in clients if c in BYZANTINE))
        for clients in present[1:]
    ]
    assert seen_by_attack == [pair for pair in expected if pair[1]]


@pytest.mark.parametrize("rule", ["mean", "class-wise:base=median"])
def test_rounds_in_which_a_client_sends_several_rows_are_refused_before_any_work(rule: str, tmp_path: Path) -> None:
    several = spec().model_copy(update={"algorithm": "class-momentum:batch_size=8,classes=2", "rule": rule})
    for asked in (
        lambda: check_attacked(several),
        lambda: capture(several, warmup=0, rounds=1),
        lambda: examine(several, tmp_path / "e.jsonl", attacks=["zero"]),
    ):
        with pytest.raises(SpecError, match=r"a row for each of 2 classes.* classes = 1"):
            asked()
    assert not list(tmp_path.iterdir())
    assert capture(one_class(several), warmup=0, rounds=1)


def one_class(several: RunSpec) -> RunSpec:
    return several.model_copy(update={"algorithm": "class-momentum:batch_size=8"})


def captured_round(clients: tuple[int, ...] | None) -> Captured:
    rows = 1 + torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Captured(rows=rows, previous=None, evaluator=QuadraticEvaluator(6), clients=clients)


def test_a_round_without_byzantine_clients_is_no_attacked_one() -> None:
    with pytest.raises(ValueError, match=r"no byzantine client answered .* sign-flip:scale=10.0 attacks"):
        play(rules.Mean(), attacks.SignFlip(scale=10.0), [captured_round((1, 2, 4, 5))], {0, 3})
    finding = play(rules.Mean(), attacks.NoAttack(), [captured_round((1, 2, 4, 5))], {0, 3})
    assert (finding.kappa, finding.byzantine_accepted) == (pytest.approx(0, abs=1e-20), None)
    assert finding.progress == pytest.approx(1)


def test_rounds_without_byzantine_clients_do_not_count() -> None:
    without = [captured_round((1, 2, 4, 5)), captured_round((2, 4, 5, 6))]
    attacked = [captured_round((0, 1, 2, 4)), captured_round((1, 2, 3, 4))]
    every = [without[0], without[1], *attacked, without[1]]
    alone = play(rules.Mean(), attacks.SignFlip(scale=10.0), [without[0], *attacked], {0, 3})
    assert play(rules.Mean(), attacks.SignFlip(scale=10.0), every, {0, 3}) == alone
    assert alone.byzantine_accepted == 1.0
    # Of rounds in which nobody attacks all count, and the share of byzantine rows is of those that there are.
    assert play(rules.Mean(), attacks.NoAttack(), every, {0, 3}).byzantine_accepted == 1.0


def test_a_round_without_honest_clients_is_refused() -> None:
    with pytest.raises(ValueError, match="no honest client sent finite rows"):
        play(rules.Mean(), attacks.SignFlip(), [captured_round((1, 2, 3, 4))], {1, 2, 3, 4})


@pytest.mark.parametrize("attack", [attacks.NoAttack(), attacks.ALIE(), attacks.SignFlip(), attacks.MinMax()], ids=repr)
def test_an_honest_row_with_nan_is_no_row(attack: attacks.Attack) -> None:
    rows = 1 + torch.randn(9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spoiled = rows.clone()
    spoiled[5] = torch.nan
    one = Captured(rows=spoiled, previous=None, evaluator=QuadraticEvaluator(6))
    kept = [k for k in range(9) if k != 5]
    other = Captured(rows=rows[kept], previous=None, evaluator=QuadraticEvaluator(6), clients=tuple(kept))
    assert play(rules.Median(), attack, [one, one], {0, 3}) == play(rules.Median(), attack, [other, other], {0, 3})


def test_rows_of_all_clients_go_by_their_places() -> None:
    expected = play(rules.Krum(f=1), attacks.SignFlip(), [captured_round((0, 1, 2, 3))], 1)
    assert play(rules.Krum(f=1), attacks.SignFlip(), [captured_round(None)], 1) == expected


def test_rules_are_timed_on_what_those_say_that_take_part() -> None:
    seen_by_rule.clear()
    assert seconds_of({"listening": Listening()}, spec())["listening"] > 0
    assert {len(said) for said in seen_by_rule} == {4}


def test_of_liars_that_took_no_part_nobody_says_that_all_were_caught() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 12, generator=generator)
    now = Captured(rows=rows, previous=None, evaluator=QuadraticEvaluator(12), clients=(1, 3, 4, 6, 7))
    for rule in (rules.Median(), rules.Krum(f=9)):  # that decides, and that has too few rows to
        finding = play(rule, attacks.NoAttack(), [now], BYZANTINE)
        assert finding.byzantine_accepted is None
        assert (finding.refused_why is None) == (finding.refused == 0) == isinstance(rule, rules.Median)
        assert read_back(Finding, written(finding)) == finding
        assert "accepted" not in _spoken(finding)


def test_the_table_says_where_the_rule_refused() -> None:
    refusing = Finding(
        attack="alie",
        kappa=0.1,
        progress=0.0,
        byzantine_accepted=0.0,
        honest_accepted=0.0,
        refused=2,
        refused_why="no good",
    )
    e = Examination(settings={"rule": "krum"}, findings=(refusing,), untouched=None)
    for several in ([e], [e, e]):
        found = [str(cell) for column in examination_table(several).columns for cell in column.cells]
        assert "alie (refused in 2 rounds)" in found
    assert list(refusals_told([e, e])) == ["krum refused 2 rounds: no good"] * 2
    several = replace(e, findings=(refusing, replace(refusing, attack="ipm", refused=1, refused_why="too few")))
    assert list(refusals_told([several])) == ["krum refused 2 rounds: no good (1 other reason)"]
    assert list(refusals_told([replace(e, findings=())])) == []


def test_a_model_that_gives_no_numbers_is_its_users_to_mend() -> None:
    rows = torch.full((4, 12), float("nan"))
    now = Captured(rows=rows, previous=None, evaluator=QuadraticEvaluator(12))
    with pytest.raises(SpecError, match="look for NaN or Inf in the model"):
        play(rules.Median(), attacks.ALIE(), [now], 1)
