"""`Simulation`: federated training on one machine, with some of the clients lying."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..aggregator import Result, judge
from ..attacks import Attack, Batch, NoAttack, View
from ..clients import Gradient, Sampler
from ..evaluator import Evaluator
from ..rule import BoundError, Context, Rule, State, apply
from ..stack import Dense, materialise
from .backends import Backend, Job, Loop
from .checkpoint import load_checkpoint, save_checkpoint
from .data import FederatedData, Split
from .record import Record, Shares, share
from .root import BackendEvaluator, root_split
from .server import ServerSGD

_SAVED = ("round", "parameters", "velocity", "rule_state", "attack_state", "records")

Model = nn.Module | Callable[[], nn.Module]


@dataclass(frozen=True, eq=False)
class Progress:
    """All that the next round depends on. Each round makes a new one, so an interrupt leaves the last one whole."""

    round: int
    parameters: Tensor
    velocity: Tensor | None = None
    rule_state: State = field(default_factory=dict)
    attack_state: State = field(default_factory=dict)
    records: tuple[Record, ...] = ()


class Simulation:
    """Train one model across clients, some of them byzantine, with a rule between them and the server.

    ``Simulation(model=SignGuardCNN, data=federate(load("fashion-mnist"), 50), rule=rules.SignGuard(),
    attack=attacks.ALIE(), byzantine=10)``. Everything random follows from ``seed``: the same seed on the same machine
    gives bitwise the same run, whether or not it was interrupted in between.

    Args:
        model: a module, taken with the weights it has, or a function that makes one, called under ``seed``.
        data: one shard of training data per client, and a test set.
        rule: the defence.
        attack: what byzantine clients do; nothing if None.
        byzantine: how many clients are byzantine, the first ones, or which.
        clients: what an honest client computes.
        server: what the server does with the aggregate.
        participation: share of the clients that take part in a round, drawn anew each round; rounded up.
        root: training samples that the server has as well, for rules that judge clients by data of its own.
        seed: of everything random.
        device: where models, data and rows live.

    Raises:
        BoundError: too few clients a round for the rule.
        ValueError: other arguments out of bounds.
    """

    def __init__(
        self,
        *,
        model: Model,
        data: FederatedData,
        rule: Rule,
        attack: Attack | None = None,
        byzantine: int | Sequence[int] = 0,
        clients: Gradient | None = None,
        server: ServerSGD | None = None,
        participation: float = 1.0,
        root: int = 100,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.rule, self.attack = data, rule, attack or NoAttack()
        self.clients, self.server = clients or Gradient(), server or ServerSGD()
        self.participation, self.seed, self.device = participation, seed, torch.device(device)
        self.byzantine = _byzantine_ids(byzantine, data.n)
        if not 0 < participation <= 1:
            raise ValueError(f"participation is a share above 0 and at most 1, got {participation}")
        self.active = ceil(round(participation * data.n, 6))  # 0.28 * 25 is 7, whatever floats say
        rule.check(self.active)
        self.backend: Backend = Loop(_seeded(model, seed), self.device)
        self.root = root_split(data.dataset.train, root, Context(seed=seed)) if rule.root_data else None
        self._inputs = data.dataset.train.inputs.to(self.device)
        self._labels = data.dataset.train.labels.to(self.device)
        self._sampler = Sampler(data.shards, self.clients.batch_size, seed)
        initial = self.backend.initial()
        self._rows = torch.zeros(self.active, len(initial), device=self.device, dtype=initial.dtype)
        self._sent = self.active
        self.progress = Progress(0, initial)

    # --- what came of it ------------------------------------------------------------------------------------

    @property
    def round(self) -> int:
        """Rounds completed."""
        return self.progress.round

    @property
    def records(self) -> tuple[Record, ...]:
        """Every round so far, those before a resume included."""
        return self.progress.records

    def parameters(self) -> dict[str, Tensor]:
        """The server's model, for ``model.load_state_dict(..., strict=False)``."""
        return self.backend.layout.unflatten(self.progress.parameters)

    @property
    def rows(self) -> Tensor:
        """The rows that were sent in the last round, in the order of those that took part: (n, d)."""
        return self._rows[: self._sent]

    # --- the run --------------------------------------------------------------------------------------------

    def run(
        self, rounds: int, evaluate_every: int = 20, checkpoint: str | Path | None = None
    ) -> Generator[Record, None, None]:
        """Train until ``rounds`` rounds are completed, one record a round.

        With a checkpoint, an earlier run that left one there is gone on from (`records` has its rounds too), and it is
        written whenever the model is evaluated and whenever the run ends, be it by Ctrl-C.

        Args:
            rounds: in all, earlier ones included.
            evaluate_every: evaluate after every so many rounds, and after the last.
            checkpoint: a file.

        Raises:
            CheckpointError: the checkpoint is damaged or of another configuration; it is left as it is.
        """
        if rounds < 1 or evaluate_every < 1:
            raise ValueError(f"rounds >= 1 and evaluate_every >= 1 are needed, got {rounds} and {evaluate_every}")
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and path.exists():
            self._restore(load_checkpoint(path, self.identity, _SAVED))
        saved = self.round if path is not None and path.exists() else -1
        try:
            while self.round < rounds:
                number = self.round + 1
                evaluate = number % evaluate_every == 0 or number == rounds
                self.progress = self._next(self.progress, evaluate)
                if path is not None and evaluate:
                    self._save(path)
                    saved = self.round
                yield self.records[-1]
        finally:
            if path is not None and saved != self.round:
                self._save(path)

    def _next(self, now: Progress, evaluate: bool) -> Progress:
        """One round, from one state to the next."""
        clock = _Clock()
        context = Context(round=now.round, seed=self.seed, evaluator=self._evaluator(now))
        active = self._participants(context)
        byzantine = [i for i, c in enumerate(active) if c in self.byzantine]
        honest = [i for i, c in enumerate(active) if c not in self.byzantine]
        rows, self._sent = self._rows[: len(active)], len(active)
        with clock("gradients"):
            jobs = [self._job(client, context) for client in active]
            for member, row in enumerate(byzantine):
                jobs[row] = self._poisoned(jobs[row], context, member, len(byzantine))
            losses = self.backend.messages(self.clients, now.parameters, jobs, rows)
        updates = Dense(rows, ids=active)
        with clock("attack"):
            attack_state = self._forge(updates, honest, byzantine, context, now)
            context = replace(context, messages=self._messages([active[i] for i in byzantine], context))
        skipped, result, state = None, None, now.rule_state
        parameters, velocity = now.parameters, now.velocity
        updates = Dense(rows, ids=active)
        with clock("aggregate"):
            try:
                outcome = apply(self.rule, updates, state, context.fold("rule"))
                result, state = judge(updates, outcome), outcome.state
            except BoundError as error:
                skipped = str(error)  # too many non-finite rows: the model stays, the run goes on
        if result is not None:
            with clock("update"):
                parameters, velocity = self.server.step(parameters, result.output, velocity)
        accuracy = loss = signs = confidence = None
        if evaluate:
            with clock("evaluate"):
                accuracy, loss = self.backend.evaluate(parameters, self.data.dataset.test)
                signs = self._signs(updates, honest, byzantine)
                confidence = self._confidence(parameters)
        accepted = result.accepted.tolist() if result else [False] * len(active)
        record = Record(
            round=now.round + 1,
            accuracy=accuracy,
            loss=loss,
            train_loss=sum(losses[i] for i in honest) / max(len(honest), 1),
            byzantine_accepted=share([accepted[i] for i in byzantine]),
            honest_accepted=share([accepted[i] for i in honest]),
            accepted=_by_client(self.data.n, active, accepted),
            reasons=_reasons(active, result),
            signs=signs,
            confidence=confidence,
            seconds=clock.seconds,
            skipped=skipped,
        )
        return Progress(now.round + 1, parameters, velocity, state, attack_state, (*now.records, record))

    def _evaluator(self, now: Progress) -> Evaluator | None:
        if self.root is None:
            return None
        seed = Context(now.round, self.seed).draw_seed("model of the server")
        return BackendEvaluator(self.backend, self.clients, self.root, now.parameters, self.server.lr, seed)

    def _participants(self, context: Context) -> list[int]:
        drawn = list(range(self.data.n))
        if self.active < self.data.n:
            order = torch.randperm(self.data.n, generator=context.generator("participants"))
            drawn = sorted(order[: self.active].tolist())
        if not self.byzantine or self.attack.present(context.fold("attack")):
            return drawn
        return [client for client in drawn if client not in self.byzantine]

    def _job(self, client: int, context: Context) -> Job:
        samples = self._sampler.batch(client, context.round).to(self.device)
        inputs, labels = self._inputs[samples], self._labels[samples]
        return Job(inputs, labels, context.draw_seed(f"model of client {client}"))

    def _poisoned(self, job: Job, context: Context, member: int, members: int) -> Job:
        batch = Batch(job.inputs, job.labels, self.data.dataset.classes, member, members)
        poisoned = self.attack.poison(batch, context.fold("attack"))
        return replace(job, inputs=poisoned.inputs, labels=poisoned.labels)

    def _messages(self, byzantine: list[int], context: Context) -> dict[Hashable, Any]:
        said = self.attack.say({}, context.fold("attack")) if byzantine else {}
        return dict.fromkeys(byzantine, said) if said else {}

    def _forge(self, rows: Dense, honest: list[int], byzantine: list[int], context: Context, now: Progress) -> State:
        """Put forged rows in the place of the byzantine clients' own; what the attack remembers of it."""
        if not (honest and byzantine):
            return now.attack_state
        own = torch.tensor(byzantine)
        view = View(
            honest=rows.take(torch.tensor(honest)),
            own=rows.take(own),
            context=replace(context.fold("attack"), evaluator=None),
            decide=lambda updates: self.rule.decide(updates, now.rule_state, context.fold("rule")),
            previous=now.velocity,
            state=now.attack_state,
        )
        forged = self.attack.forge(view)
        if not self.attack.history:
            for block in forged.blocks():  # what a block is made of is in the same columns, so it can be overwritten
                rows.G[own, block.start : block.stop] = block.rows.to(rows.dtype)
            return now.attack_state
        sent = materialise(forged).to(rows.dtype)
        state = self.attack.advance(view, sent)
        rows.G[own] = sent
        return state

    def _confidence(self, parameters: Tensor) -> float | None:
        """Of the attack's success, where it is after some samples."""
        test = self.data.dataset.test
        wanted = self.attack.aim(test.inputs, test.labels, self.data.dataset.classes) if self.byzantine else None
        return None if wanted is None else self.backend.confidence(parameters, Split(*wanted))

    def _signs(self, updates: Dense, honest: list[int], byzantine: list[int]) -> dict[str, Shares | None]:
        counts = updates.sign_counts()

        def shares(rows: list[int]) -> Shares | None:
            if not rows:
                return None
            plus, zero, minus = (counts[rows].sum(0) / (len(rows) * updates.d)).tolist()
            return plus, zero, minus

        return {"honest": shares(honest), "byzantine": shares(byzantine)}

    # --- checkpoints ----------------------------------------------------------------------------------------

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that a run depends on, so that a checkpoint is never gone on from with anything else."""
        train, test = self.data.dataset.train, self.data.dataset.test
        return {
            "model": f"{type(self.backend).__name__}: {self.backend.description}",
            "initial parameters": _checksum(self.backend.initial()),
            "data": f"{self.data.dataset.name}, {len(train)} + {len(test)} samples, "
            + _checksum(train.inputs, train.labels, test.inputs, test.labels),
            "shards": f"{self.data.n} clients, {_checksum(*self.data.shards)}",
            "rule": repr(self.rule),
            "attack": repr(self.attack),
            "byzantine": sorted(self.byzantine),
            "clients": repr(self.clients),
            "server": repr(self.server),
            "participation": self.participation,
            "root": None if self.root is None else _checksum(self.root.inputs, self.root.labels),
            "seed": self.seed,
            "device": self.device.type,
        }

    def _save(self, path: Path) -> None:
        now = self.progress
        content = {
            "round": now.round,
            "parameters": now.parameters,
            "velocity": now.velocity,
            "rule_state": dict(now.rule_state),
            "attack_state": dict(now.attack_state),
            "records": [record.to_json() for record in now.records],
        }
        save_checkpoint(path, self.identity, content)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.progress = Progress(
            saved["round"],
            saved["parameters"].to(self.device),
            None if saved["velocity"] is None else saved["velocity"].to(self.device),
            {k: v.to(self.device) for k, v in saved["rule_state"].items()},
            {k: v.to(self.device) for k, v in saved["attack_state"].items()},
            tuple(Record.from_json(r) for r in saved["records"]),
        )


class _Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - start


def _byzantine_ids(byzantine: int | Sequence[int], n: int) -> frozenset[int]:
    ids = range(byzantine) if isinstance(byzantine, int) else byzantine
    negative = isinstance(byzantine, int) and byzantine < 0
    if negative or not all(0 <= i < n for i in ids) or len(set(ids)) != len(ids) or len(ids) >= n:
        raise ValueError(f"byzantine is a number below n = {n} or distinct clients 0 to {n - 1}, got {byzantine!r}")
    return frozenset(ids)


def _seeded(model: Model, seed: int) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Context(seed=seed).draw_seed("model"))
        return model()


def _checksum(*tensors: Tensor) -> str:
    crc = 0
    for tensor in tensors:
        crc = zlib.crc32(tensor.contiguous().cpu().numpy().data, crc)
    return f"{crc:08x}"


def _by_client(n: int, active: list[int], accepted: list[bool]) -> tuple[bool | None, ...]:
    verdicts: list[bool | None] = [None] * n
    for client, ok in zip(active, accepted, strict=True):
        verdicts[client] = ok
    return tuple(verdicts)


def _reasons(active: list[int], result: Result[Tensor] | None) -> dict[int, Any]:
    if result is None:
        return {}
    verdicts = zip(active, result.reasons, result.accepted.tolist(), strict=True)
    return {client: reason for client, reason, ok in verdicts if not ok}
