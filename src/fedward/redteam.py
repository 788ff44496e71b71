"""The red team: a standing examination of any rule, on real updates, by every attack at every strength.

Honest updates of a real training run are captured; every attack forges rows from them, the adaptive ones against the
rule itself; what the rule makes of it is compared with the honest mean. Then the model is trained under the worst
three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from .aggregator import judge
from .attacks import Attack, NoAttack, View
from .evaluator import Evaluator
from .experiments.spec import RunSpec
from .notation import describe, parse
from .rule import BoundError, Context, Rule, State, apply
from .rules import Mean
from .sim.root import BackendEvaluator, root_split
from .stack import Dense, Updates, materialise

ARSENAL: tuple[str, ...] = (
    *(f"alie:z={z}" for z in (0.1, 0.3, 0.6, 1.0, 1.5, 3.0)),
    *(f"ipm:epsilon={e}" for e in (0.1, 0.5, 1.0, 3.0, 10.0)),
    *(f"sign-flip:scale={s}" for s in (1.0, 4.0, 10.0)),
    *(f"scaling:factor={c}" for c in (3.0, 10.0, 100.0)),
    *(f"{name}:direction={d}" for name in ("min-max", "min-sum") for d in ("std", "unit", "sign")),
    *(f"byz-mean:split={s}" for s in (0.5, 0.8)),
    *(f"{name}:knows={k}" for name in ("fang-krum", "fang-trimmed-mean") for k in ("honest", "own")),
    *(f"gaussian:std={s}" for s in (0.001, 0.01, 0.1, 2.0)),
    *(f"noise:std={s}" for s in (0.01, 0.5)),
    *(f"constant:value={c}" for c in (0.01, 5.0)),
    "mimic:warmup=3",
    "zero",
    "free-rider",
    "poisoned-fl",
    *(f"non-finite:value={v}" for v in ("nan", "inf")),
)
"""Attacks by formula, each at several strengths."""

ADAPTIVE: tuple[str, ...] = (
    *(
        f"maximise:attack=(deviation:direction={d}),over=gamma,bounds=(0, {most}),objective={o},candidates=10"
        for d, most in (("std", 5), ("unit", 5), ("sign", 0.05))
        for o in ("distance", "regress")
    ),
    "maximise:attack=ipm,over=epsilon,bounds=(0, 10),objective=regress,candidates=10",
    "maximise:attack=scaling,over=factor,bounds=(0, 100),objective=distance,candidates=10",
)
"""Attacks that are searched against the rule."""


@dataclass(frozen=True)
class Finding:
    """What one attack did to a rule, on average over the captured rounds.

    Attributes:
        attack: as text.
        kappa: squared distance of the output from the honest mean, in units of the honest rows' mean squared distance
            from it: the kappa of (f, kappa)-robustness, as far as this attack shows it.
        progress: <output, mean> / |mean|^2 with the honest mean; 1 without harm, below 0 the model moves back.
        byzantine_accepted: share of the byzantine rows that got weight.
        honest_accepted: share of the honest ones.
        refused: rounds in which the rule had too few finite rows; the server stays where it is.
        accuracy: after a short training run under the attack, where one was made.
    """

    attack: str
    kappa: float
    progress: float
    byzantine_accepted: float
    honest_accepted: float
    refused: int = 0
    accuracy: float | None = None


@dataclass(frozen=True, eq=False)
class Captured:
    """One round of honest training: every client's row, and what the server knew before."""

    rows: Tensor
    previous: Tensor | None
    evaluator: Evaluator


@dataclass(frozen=True, eq=False)
class Examination:
    """What came of examining one rule."""

    rule: str
    findings: tuple[Finding, ...]
    untouched: float | None
    """Accuracy of the short training run without attack; None if the rule could not be tried."""
    refused: str | None = None
    """Why the rule could not be tried at all."""
    settings: dict[str, Any] = field(default_factory=dict)

    def worst(self) -> tuple[Finding, ...]:
        """The most harmful first: by kappa."""
        return tuple(sorted(self.findings, key=lambda f: -f.kappa if isfinite(f.kappa) else float("-inf")))

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Examination:
        """The examination that `to_json` was made of."""
        return cls(**{**saved, "findings": tuple(Finding(**f) for f in saved["findings"])})


class _Spy(NoAttack):
    """Behaves, and keeps what it sees."""

    def __init__(self) -> None:
        self.previous: list[Tensor | None] = []

    def forge(self, view: View) -> Updates:
        self.previous.append(None if view.previous is None else view.previous.clone())
        return view.own


def capture(spec: RunSpec, warmup: int, rounds: int) -> list[Captured]:
    """Rows of all clients in ``rounds`` successive rounds of honest training, after ``warmup`` of them."""
    spy = _Spy()
    simulation = spec.simulation(rule=Mean(), attack=spy)
    train = simulation.data.dataset.train
    root = root_split(train, min(spec.root, len(train)), Context(seed=spec.seed))
    captured = []
    parameters = simulation.progress.parameters
    for record in simulation.run(warmup + rounds, evaluate_every=warmup + rounds):
        if record.round > warmup:
            evaluator = BackendEvaluator(
                simulation.backend, simulation.clients, root, parameters, simulation.server.lr, record.round
            )
            captured.append(Captured(simulation.rows.clone(), spy.previous[-1], evaluator))
        parameters = simulation.progress.parameters
    return captured


def play(rule: Rule, attack: Attack, captured: Sequence[Captured], byzantine: int, seed: int = 0) -> Finding:
    """One attack against one rule, with the memory of both, over the captured rounds.

    The first ``byzantine`` clients are the byzantine ones.
    """
    rule_state: State = {}
    attack_state: State = {}
    kappas, progress, bad, good, refused = [], [], [], [], 0
    for number, now in enumerate(captured):
        rows = now.rows.clone()
        stack, own = Dense(now.rows), torch.arange(byzantine)
        honest = stack.take(torch.arange(byzantine, stack.n))
        context = Context(number, seed)
        within = Context(number, seed, evaluator=now.evaluator).fold("rule")
        state = rule_state

        def decide(updates: Updates, state: State = state, within: Context = within) -> Any:
            return rule.decide(updates, state, within)

        view = View(honest, stack.take(own), context.fold("attack"), decide, now.previous, attack_state)
        sent = materialise(attack.forge(view)).to(rows.dtype)
        rows[:byzantine] = sent
        attack_state = attack.advance(view, sent)
        mean = honest.combine(torch.full((honest.n,), 1 / honest.n, dtype=torch.float64)).double()
        updates = Dense(rows)
        try:
            outcome = apply(rule, updates, rule_state, within)
            verdict = judge(updates, outcome).accepted.double()
            rule_state, output = outcome.state, outcome.output.double()
            bad.append(float(verdict[:byzantine].mean()))
            good.append(float(verdict[byzantine:].mean()))
        except BoundError:
            refused += 1
            output = torch.zeros_like(mean)
            bad.append(0.0)
            good.append(0.0)
        spread = float((honest.gram().diagonal().mean() - mean.square().sum()).clamp_min(1e-300))
        kappas.append(float((output - mean).square().sum()) / spread)
        progress.append(float(output @ mean) / max(float(mean @ mean), 1e-300))
    return Finding(describe(attack), fmean(kappas), fmean(progress), fmean(bad), fmean(good), refused)


def examine(
    spec: RunSpec,
    *,
    warmup: int = 30,
    captured_rounds: int = 3,
    worst: int = 3,
    attacks: Sequence[str] = (*ARSENAL, *ADAPTIVE),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Examination:
    """Examine the rule of a specification: its data, model and clients make the rows, its rounds the short training.

    Args:
        spec: the rule, and the training that it is examined on.
        warmup: honest rounds before the rows are captured.
        captured_rounds: successive rounds that attacks play over.
        worst: how many attacks the model is trained under.
        attacks: which, as text.
        on_progress: told what is being done, and how far that is.
    """
    rule, m = spec.make_rule(), spec.byzantine
    settings = {**spec.resolved(), "warmup": warmup, "captured_rounds": captured_rounds}
    total = len(attacks) + worst + 1

    def tell(what: str, done: int) -> None:
        if on_progress is not None:
            on_progress(what, done, total)

    tell("honest training", 0)
    captured = capture(spec, warmup, captured_rounds)
    findings = []
    for k, text in enumerate(attacks):
        tell(text, k)
        findings.append(play(rule, parse(text, "attack"), captured, m, spec.seed))
    examination = Examination(describe(rule), tuple(findings), None, settings=settings)
    # One attack of a kind: three strengths of the same say less than three kinds.
    kinds: dict[str, Finding] = {}
    for finding in examination.worst():
        kinds.setdefault(finding.attack.partition(":")[0], finding)
    trained = {}
    for k, finding in enumerate(list(kinds.values())[:worst]):
        tell(f"training under {finding.attack}", len(attacks) + k)
        trained[finding.attack] = _accuracy(spec, finding.attack)
    tell("training without attack", total - 1)
    untouched = _accuracy(spec, "no-attack")
    found = tuple(Finding(**{**asdict(f), "accuracy": trained.get(f.attack)}) for f in findings)
    tell("done", total)
    return Examination(describe(rule), found, untouched, settings=settings)


def _accuracy(spec: RunSpec, attack: str) -> float:
    """Test accuracy after the specification's rounds under an attack."""
    simulation = spec.simulation(attack=parse(attack, "attack"))
    *_, last = simulation.run(spec.rounds, evaluate_every=spec.rounds)
    assert last.accuracy is not None
    return last.accuracy
