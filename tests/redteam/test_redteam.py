"""The red team: what it measures, what it keeps, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, redteam, rules
from fedward.experiments.spec import RunSpec, make_spec
from fedward.redteam import (
    ADAPTIVE,
    ARSENAL,
    EVERYTHING,
    Captured,
    Examination,
    RedTeamError,
    capture,
    examination_steps,
    examine,
    examine_all,
    family,
    label,
    load_examination,
    play,
)
from fedward.registry.notation import describe, parse
from fedward.report import ReportError, write_examinations
from fedward.testing import QuadraticEvaluator
from tests.oracles import attacks_tailored as oracle

SETTING = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 12,
    "byzantine": 3,
    "batch_size": 8,
    "rounds": 3,
}
FEW = ("no-attack", "alie", "alie:z=1.5", "sign-flip", "maximise:attack=ipm,over=epsilon,candidates=3")
QUICK: dict[str, Any] = {"warmup": 2, "rounds": 2, "worst": 2, "attacks": FEW}


def spec(rule: str = "krum", **changes: object) -> RunSpec:
    return make_spec({**SETTING, "rule": rule, **changes})


def captured(rounds: int = 1, n: int = 11, d: int = 30) -> list[Captured]:
    generator = torch.Generator().manual_seed(3)
    previous = torch.randn(d, generator=generator, dtype=torch.float64)
    found = []
    for _ in range(rounds):
        rows = 1 + torch.randn(n, d, generator=generator, dtype=torch.float64)
        found.append(Captured(rows=rows, previous=previous, evaluator=QuadraticEvaluator(d)))
        previous = rows.mean(0)
    return found


# --- what is measured ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [rules.Mean(), rules.Krum(f=3), rules.Median(), rules.SignMajority()], ids=repr)
@pytest.mark.parametrize(
    "attack", [attacks.ALIE(z=1.5), attacks.SignFlip(scale=3.0), attacks.IPM(epsilon=2.0)], ids=repr
)
def test_harm_by_its_formulas(rule: fw.Rule, attack: attacks.Attack) -> None:
    [now] = captured()
    honest, own = now.rows[3:], now.rows[:3]
    output = rule(torch.cat([attack(honest, own), honest])).numpy()
    mean = honest.numpy().mean(0)
    spread = np.mean([np.sum((row - mean) ** 2) for row in honest.numpy()])
    finding = play(rule, attack, [now], 3)
    assert finding.kappa == pytest.approx(np.sum((output - mean) ** 2) / spread, rel=1e-9)
    assert finding.progress == pytest.approx(oracle.progress(output, honest.numpy()), rel=1e-9)
    assert finding.refused == 0


def test_accepted_shares() -> None:
    finding = play(rules.Krum(f=3), attacks.Constant(value=50.0), captured(), 3)
    assert (finding.byzantine_accepted, finding.honest_accepted) == (0.0, 1 / 8)
    assert play(rules.Mean(), attacks.Constant(value=50.0), captured(), 3).byzantine_accepted == 1.0


def test_the_first_of_several_rounds_is_honest_and_does_not_count() -> None:
    two = captured(2)
    assert play(rules.Mean(), attacks.ALIE(), two, 3).kappa == play(rules.Mean(), attacks.ALIE(), two[1:], 3).kappa
    clipping = rules.CenteredClipping(radius=0.1)  # goes by the aggregate of the first round
    assert play(clipping, attacks.ALIE(), two, 3).kappa < play(clipping, attacks.ALIE(), two[1:], 3).kappa


def test_rows_that_leave_too_few_are_a_round_in_which_nothing_happens() -> None:
    finding = play(rules.Krum(f=4), attacks.NonFinite(), captured(), 3)
    assert (finding.refused, finding.progress, finding.honest_accepted) == (1, 0.0, 0.0)


def test_the_captured_rows_stay_as_they_are() -> None:
    rounds = captured(2)
    before = [c.rows.clone() for c in rounds]
    play(rules.Mean(), attacks.Mimic(), rounds, 3)
    assert all(torch.equal(c.rows, rows) for c, rows in zip(rounds, before, strict=True))
    with pytest.raises(ValueError, match="at least one captured round"):
        play(rules.Mean(), attacks.ALIE(), [], 3)


def test_captured_rounds_are_those_of_honest_training() -> None:
    found = capture(spec(), warmup=2, rounds=2)
    simulation = spec().simulation(rule=rules.Mean(), attack=attacks.NoAttack())
    rows = []
    for record in simulation.run(4):
        rows += [simulation.rows.clone()] if record.round > 2 else []
    assert all(torch.equal(c.rows, r) for c, r in zip(found, rows, strict=True))
    momentum, decay = simulation.server.momentum, simulation.server.weight_decay
    step = found[1].previous
    assert found[0].previous is not None
    assert step is not None
    rest = step - momentum * found[0].previous - found[0].rows.mean(0)
    assert float(rest.norm()) <= decay * float(simulation.progress.parameters.norm()) * 2


# --- what is played -----------------------------------------------------------------------------------------


def test_everything_is_played_that_works_on_rows() -> None:
    elsewhere = {"label-flip", "targeted-poisoning", "backdoor"}  # on data
    elsewhere |= {"false-alarms", "silent-alarms", "sybils", "schedule", "random-schedule"}  # by messages and rounds
    elsewhere |= {"virtual"}  # sends nothing
    elsewhere |= {"random", "maximise", "deviation"}  # random is gaussian; the others are played as searches
    elsewhere |= {"tailored-min-max", "tailored-min-sum"}
    assert elsewhere & {family(text) for text in ADAPTIVE} == {"tailored-min-max", "tailored-min-sum"}
    packaged = {e.name for e in fw.catalogue("attack", packaged=True)}
    assert {family(text) for text in ARSENAL} == packaged - elsewhere
    assert len(set(map(label, EVERYTHING))) == len(EVERYTHING) == len(set(EVERYTHING))


def test_kinds() -> None:
    assert [family(t) for t in FEW] == ["no-attack", "alie", "alie", "sign-flip", "adaptive ipm"]
    assert family(ADAPTIVE[0]) == "adaptive std"
    assert label(ADAPTIVE[0]) == "adaptive std: distance"
    assert label("alie:z=1.5") == "alie:z=1.5"


# --- what is kept -------------------------------------------------------------------------------------------


def test_an_examination_is_kept_and_gone_on_from(tmp_path: Path) -> None:
    file = tmp_path / "krum.jsonl"
    told: list[tuple[str, int, int]] = []
    whole = examine(spec(), file, on_progress=lambda *args: told.append(args), **QUICK)
    assert told[-1] == ("done", examination_steps(FEW, 2), examination_steps(FEW, 2))
    assert [f.attack for f in whole.findings] == [describe(parse(t)) for t in FEW]
    assert len(whole.trained) == 2
    assert whole.untouched is not None
    assert whole.baseline is not None
    assert json.loads(json.dumps(load_examination(file).to_json())) == json.loads(json.dumps(whole.to_json()))

    lines = file.read_text().splitlines(keepends=True)
    for kept in (lines[:3], [*lines[:4], lines[4][:30]], lines[:-1]):  # stopped between results, in one, near the end
        file.write_text("".join(kept))
        assert examine(spec(), file, **QUICK).to_json() == whole.to_json()
        assert file.read_text().splitlines(keepends=True) == lines


def test_another_examination_is_refused_and_left(tmp_path: Path) -> None:
    file = tmp_path / "krum.jsonl"
    examine(spec(), file, **{**QUICK, "worst": 0, "attacks": ("alie",)})
    before = file.read_text()
    with pytest.raises(RedTeamError, match=r"other settings \(lr\).*--fresh"):
        examine(spec(lr=0.5), file, **{**QUICK, "worst": 0, "attacks": ("alie",)})
    assert file.read_text() == before
    file.write_text("nonsense\n")
    with pytest.raises(RedTeamError, match="not an examination: 'nonsense"):
        load_examination(file)
    with pytest.raises(RedTeamError, match="no examination; `fedward redteam` writes one"):
        load_examination(tmp_path / "none.jsonl")


def test_the_worst_of_each_kind_comes_first() -> None:
    kappas = {"no-attack": 0.1, "alie": 0.5, "alie:z=1.0": 2.0, "sign-flip": 1.0}
    findings = tuple(
        redteam.Finding(attack=a, kappa=k, progress=1.0, byzantine_accepted=0.0, honest_accepted=1.0)
        for a, k in kappas.items()
    )
    worst = Examination(settings={"rule": "mean"}, findings=findings, untouched=None).worst()
    assert [(kind, f.kappa) for kind, f in worst] == [("alie", 2.0), ("sign-flip", 1.0), ("no-attack", 0.1)]


def test_several_rules_in_processes_of_their_own(tmp_path: Path) -> None:
    options = {**QUICK, "worst": 0, "attacks": ("no-attack", "sign-flip")}
    jobs = {tmp_path / f"{rule}.jsonl": spec(rule) for rule in ("mean", "median")}
    seen: list[dict[Path, int]] = []
    found = examine_all(jobs, workers=2, on_progress=lambda results: seen.append(dict(results)), **options)
    assert list(found) == list(jobs)
    assert set(seen[-1].values()) == {3}
    alone = examine(spec("median"), tmp_path / "alone.jsonl", **options)
    for there, here in zip(found[tmp_path / "median.jsonl"].findings, alone.findings, strict=True):
        assert there.kappa == pytest.approx(here.kappa, rel=1e-5)  # another number of threads, another rounding


# --- a page -------------------------------------------------------------------------------------------------


def test_the_page_names_rules_attacks_and_what_could_not_be_examined(tmp_path: Path) -> None:
    found = [examine(spec(rule), tmp_path / f"{rule}.jsonl", **QUICK) for rule in ("krum", "mean")]
    page = write_examinations(found, {"smea:f=3": "too <many> subsets"}, tmp_path / "report.html").read_text()
    for text in ("krum:f=3", "mean", "adaptive ipm: distance", "alie:z=1.5", "too &lt;many&gt; subsets", "Kappa"):
        assert text in page, text
    assert write_examinations(found[:1], {}, tmp_path / "one.html").read_text().count('id="run-') >= 1
    with pytest.raises(ReportError, match="no examinations"):
        write_examinations([], {}, tmp_path / "none.html")


# --- rules of the user's own --------------------------------------------------------------------------------


OWN = """
from dataclasses import dataclass

import fedward as fw


@dataclass(frozen=True, kw_only=True)
class Shortest(fw.Rule):
    count: int = 1

    def decide(self, updates, state, context):
        return fw.average_of(updates, fw.smallest(updates.norms(), self.count))
"""


def test_a_rule_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    made = parse("mine.Shortest:count=2", "rule")
    assert describe(made) == "mine.Shortest:count=2"
    found = examine(spec("mine.Shortest:count=2"), tmp_path / "x.jsonl", **{**QUICK, "worst": 1})
    assert found.rule == "mine.Shortest:count=2"
    assert {family(f.attack) for f in found.findings} == {family(t) for t in FEW}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.Rule", "cannot import 'no.such.Rule': No module named 'no'; write it like package.module.Class"),
        ("fedward.rules.Kru", "has no attribute 'Kru'"),
        ("fedward.core.apply", "is a function, which is a rule or an attack where"),
        ("fedward.core.Rule", "not a rule, mixer or attack"),
        (".Rule", "cannot import '.Rule'"),
    ],
)
def test_import_paths_that_lead_nowhere(path: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words follow
        parse(path)
    assert words in str(caught.value)
