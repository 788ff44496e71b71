"""The red team plays forged running statistics against models that have any, and says what came of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedward import attacks, rules
from fedward.cli.display import statistics_told
from fedward.experiments.spec import RunSpec, make_spec
from fedward.redteam import Captured, capture, examine, load_examination, play
from fedward.redteam.capture import Normalised
from fedward.report import write_examinations
from fedward.stack import Layout
from fedward.testing import QuadraticEvaluator

ATTACKS = ("no-attack", "alie:z=1.5", "sign-flip:scale=10.0")
QUICK: dict[str, Any] = {"warmup": 2, "rounds": 2, "worst": 1, "attacks": ATTACKS}


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


def spec(**changes: object) -> RunSpec:
    setting = {"data": "fashion-mnist-subset", "clients": 8, "byzantine": 3, "batch_size": 8, "rounds": 6}
    model = f"{__name__}.Normed"
    return make_spec({**setting, "rule": "median", "model": model, **changes})


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def captured(policy: str) -> Captured:
    layout = Layout.of({"a.running_mean": torch.zeros(2), "a.running_var": torch.ones(2)}, buffers=None)
    before = torch.tensor([0.0, 1.0, 4.0, 1.0])
    sent = before + 0.1 * normal(7, 4, seed=1)
    normalised = Normalised(sent=sent, before=before, layout=layout, policy=policy)
    return Captured(rows=normal(7, 20, seed=2), previous=None, evaluator=QuadraticEvaluator(20), normalised=normalised)


def test_how_far_statistics_stray_by_its_formula() -> None:
    now = captured("mean")
    assert now.normalised is not None
    sent, before = now.normalised.sent.double(), now.normalised.before.double()
    honest = sent[3:].mean(0)
    after = (sent[3:].sum(0) + 3 * before - 10 * (sent[:3] - before).sum(0)) / 7
    after[2:].clamp_(min=0)
    variance = honest[2:] + 1e-5
    scale = torch.cat([variance.sqrt(), variance])
    expected = float(((after - honest) / scale).square().mean().sqrt())
    found = play(rules.Mean(), attacks.SignFlip(scale=10.0), [now], 3)
    assert found.statistics == pytest.approx(expected, rel=1e-5)
    plain = play(rules.Mean(), attacks.SignFlip(scale=10.0), [replace(now, normalised=None)], 3)
    assert plain.statistics is None
    assert plain.kappa == found.kappa


def test_medians_stray_less_than_means_and_frozen_ones_not_with_the_attack() -> None:
    strayed = {
        policy: play(rules.Mean(), attacks.SignFlip(scale=100.0), [captured(policy)], 3).statistics
        for policy in ("mean", "robust", "frozen")
    }
    assert strayed["mean"] is not None
    assert strayed["robust"] is not None
    assert strayed["robust"] < 0.2 < 1 < strayed["mean"]
    assert strayed["frozen"] == play(rules.Mean(), attacks.NoAttack(), [captured("frozen")], 3).statistics


def test_what_clients_sent_is_captured_and_kept_as_it_is() -> None:
    first, second = capture(spec(), warmup=1, rounds=2)
    assert first.normalised is not None
    assert second.normalised is not None
    assert first.normalised.sent.shape == (8, 16)
    torch.testing.assert_close(second.normalised.before, first.normalised.sent.mean(0))
    kept = first.normalised.sent.clone()
    play(rules.Median(), attacks.SignFlip(), [first], 3)
    assert torch.equal(first.normalised.sent, kept)
    [plain] = capture(spec(model="linear"), warmup=0, rounds=1)
    assert plain.normalised is None


def test_an_examination_says_what_came_of_forged_statistics(tmp_path: Path) -> None:
    file = tmp_path / "median.jsonl"
    whole = examine(spec(), file, **QUICK)
    astray = whole.astray()
    assert astray is not None
    assert astray.attack == "sign-flip:scale=10.0"
    assert whole.forged is not None
    assert whole.forged[0] == astray.attack
    assert whole.untouched is not None
    assert whole.forged[1] < whole.untouched - 0.1
    assert load_examination(file).to_json() == whole.to_json()
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    assert examine(spec(), file, **QUICK).to_json() == whole.to_json()
    assert file.read_text().splitlines(keepends=True) == lines
    page = write_examinations([whole], {}, tmp_path / "report.html").read_text()
    assert "Honest rows with statistics that sign-flip:scale=10.0 forged:" in page
    [told] = statistics_told([whole])
    assert "with running statistics forged as by sign-flip:scale=10.0" in told
    medians = examine(spec(batch_norm="robust"), tmp_path / "robust.jsonl", **QUICK)
    assert medians.forged is not None
    assert medians.untouched is not None
    assert medians.forged[1] > medians.untouched - 0.1


def test_models_without_any_have_no_word_of_them(tmp_path: Path) -> None:
    found = examine(spec(model="linear"), tmp_path / "plain.jsonl", **{**QUICK, "worst": 0})
    assert (found.astray(), found.forged) == (None, None)
    assert "tatistics" not in write_examinations([found], {}, tmp_path / "report.html").read_text().split("<body")[1]
    assert list(statistics_told([found])) == []


def test_a_file_from_before_there_was_a_choice_is_gone_on_from(tmp_path: Path) -> None:
    file = tmp_path / "median.jsonl"
    options = {**QUICK, "worst": 0, "attacks": ("no-attack",)}
    whole = examine(spec(model="linear"), file, **options)
    head, *lines = file.read_text().splitlines()
    content = json.loads(head)
    assert content["settings"].pop("forge") == "rows"
    file.write_text("\n".join([json.dumps(content), *lines]) + "\n")
    again = examine(spec(model="linear"), file, **options)
    assert again.findings == whole.findings
