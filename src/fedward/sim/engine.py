"""`Simulation`: federated training on one machine, with some of the clients lying."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..attacks import Attack, NoAttack, View
from ..clients import Answer, Client, Gradient
from ..core import Context, Evaluator, Result, Rule, Skipped, State, decision, neutral, step_or_skip
from ..data.dataset import FederatedData, Split
from ..registry.parameters import check_value
from ..stack import Dense, Layers, Updates, materialise
from .backends import Backend
from .checkpoint import load_checkpoint, save_checkpoint
from .cohort import Cohort, byzantine_ids
from .parallel import Parallel
from .progress import SAVED, Progress
from .record import Record, Shares, by_client, reasons_of, share
from .root import BackendEvaluator, root_split
from .server import ServerSGD

Model = nn.Module | Callable[[], nn.Module]


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
        server: what the server does with the aggregate; where clients send deltas, lr 1 adds it to the model, which
            is the default there.
        participation: share of the clients that take part in a round, drawn anew each round; rounded up.
        dropout: share of these that never answer, drawn anew each round; rounded down.
        late: share of these whose answer arrives one round late, and counts then; rounded down. Until it has arrived
            a client takes no other work.
        batch_norm: what becomes of running statistics: "mean" of those of accepted clients, or "frozen".
        root: training samples that the server has as well, for rules that judge clients by data of its own.
        seed: of everything random.
        device: where models, data and rows live.
        threads: at most so many clients work at once on a CPU; as many as PyTorch has threads if None. Results do not
            depend on it.

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
        clients: Client | None = None,
        server: ServerSGD | None = None,
        participation: float = 1.0,
        dropout: float = 0.0,
        late: float = 0.0,
        batch_norm: str = "mean",
        root: int = 100,
        seed: int = 0,
        device: torch.device | str = "cpu",
        threads: int | None = None,
    ) -> None:
        for name, value, due in (
            ("rule", rule, Rule),
            ("attack", attack, Attack | None),
            ("clients", clients, Client | None),
            ("server", server, ServerSGD | None),
            ("participation", participation, float),
            ("dropout", dropout, float),
            ("late", late, float),
            ("root", root, int),
            ("seed", seed, int),
            ("threads", threads, int | None),
            ("data", data, FederatedData),
        ):
            check_value("Simulation", name, value, due)
        self.data, self.rule, self.attack = data, rule, attack or NoAttack()
        self.clients = clients or Gradient(batch_size=60)
        self.server = server or ServerSGD(lr=1.0 if self.clients.sends == "delta" else 0.1)
        self.participation, self.seed, self.device = participation, seed, torch.device(device)
        self.dropout, self.late, self.batch_norm = dropout, late, batch_norm
        self.byzantine = byzantine_ids(byzantine, data.n)
        if not 0 < participation <= 1:
            raise ValueError(f"participation is a share above 0 and at most 1, got {participation}")
        if not (dropout >= 0 and late >= 0 and dropout + late < 1):
            raise ValueError(f"dropout and late are shares, together below 1, got {dropout} and {late}")
        if late and self.clients.by_class:
            raise ValueError(f"{self.clients!r} answers for the class of a round, so no answer can be late, got {late}")
        self.backend: Backend = Parallel(_seeded(model, seed), self.device, batch_norm, threads)
        shares = (participation, dropout, late)
        self._cohort = Cohort(data, self.backend, self.clients, self.attack, self.byzantine, shares, self.device)
        rule.check(self._cohort.fewest)
        self.root = root_split(data.dataset.train, root, Context(seed=seed)) if rule.root_data else None
        initial = self.backend.initial()
        self._sent = 0
        self._rows = torch.zeros(self._cohort.most, len(initial), device=self.device, dtype=initial.dtype)
        self.progress = Progress(0, initial, buffers=self.backend.initial_buffers())

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
        """The server's model, running statistics included, for ``model.load_state_dict(..., strict=False)``."""
        named = self.backend.layout.unflatten(self.progress.parameters)
        if self.backend.buffer_layout is None or self.progress.buffers is None:
            return named
        return {**named, **self.backend.buffer_layout.unflatten(self.progress.buffers)}

    @property
    def rows(self) -> Tensor:
        """The rows that were sent in the last round, in the order of clients: (n, d); none before the first."""
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
        for name, value in (("rounds", rounds), ("evaluate_every", evaluate_every)):
            check_value("Simulation.run", name, value, int)
        if rounds < 1 or evaluate_every < 1:
            raise ValueError(f"rounds >= 1 and evaluate_every >= 1 are needed, got {rounds} and {evaluate_every}")
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and path.exists():
            self.progress = Progress.of_saved(load_checkpoint(path, self.identity, SAVED), self.device)
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
        context = Context(now.round, self.seed, evaluator=self._evaluator(now))
        context = replace(context, rounds_per_epoch=self._cohort.rounds_per_epoch)
        present, late = self._cohort.drawn(context, now)
        classes = self._cohort.classes_of(now.round, present)
        context = replace(context, group=classes[0] if classes else None)
        with clock("gradients"):
            sent, postponed, states = self._cohort.answers(present, late, classes, context, now, self._rows)
        active, ids, self._sent = [s.client for s in sent], [s.id for s in sent], len(sent)
        byzantine = [i for i, c in enumerate(active) if c in self.byzantine]
        honest = [i for i, c in enumerate(active) if c not in self.byzantine]
        with clock("attack"):
            attack_state = now.attack_state
            said: dict[Hashable, Any] = {s.id: self._said(s.client, s.answer.messages, context) for s in sent}
            context = replace(context, messages=said)
            for group in dict.fromkeys(s.group for s in sent):
                about = replace(context, group=group)
                theirs, own = ([i for i in rows if sent[i].group == group] for rows in (honest, byzantine))
                attack_state = self._forge(ids, theirs, own, about, now, attack_state)
            # Made now that every row is what arrives: no attack can have asked this stack for anything.
            updates = Dense(self.rows, ids=ids) if sent else None
            if len(classes) > 1:
                context = replace(context, group={s.id: s.group for s in sent if s.group is not None})
        skipped, result, state = None, None, now.rule_state
        parameters, velocity, buffers = now.parameters, now.velocity, now.buffers
        with clock("aggregate"):
            if updates is None:
                skipped = "no client answered: the model stays"
            else:
                done = step_or_skip(self.rule, updates, state, context.fold("rule"))
                state = done.state
                if isinstance(done, Skipped):
                    skipped = done.why
                else:
                    result = done.result
        if result is not None:
            with clock("update"):
                gradient = -result.output if self.clients.sends == "delta" else result.output
                parameters, velocity = self.server.step(parameters, gradient, velocity)
                buffers = _mean_buffers([s.answer for s in sent], result.accepted, now.buffers)
        accuracy = loss = signs = confidence = None
        if evaluate:
            with clock("evaluate"):
                accuracy, loss = self.backend.evaluate(parameters, self.data.dataset.test, buffers)
                signs = None if updates is None else self._signs(updates, honest, byzantine)
                confidence = self._confidence(parameters, buffers)
        accepted = result.accepted.tolist() if result else [False] * len(active)
        record = Record(
            round=now.round + 1,
            accuracy=accuracy,
            loss=loss,
            train_loss=sum(float(sent[i].answer.loss) for i in honest) / max(len(honest), 1),
            byzantine_accepted=share([accepted[i] for i in byzantine]),
            honest_accepted=share([accepted[i] for i in honest]),
            accepted=by_client(self.data.n, active, accepted),
            reasons=reasons_of(active, result),
            signs=signs,
            confidence=confidence,
            seconds=clock.seconds,
            skipped=skipped,
            note=result.note or None if result else None,
            scores={name: self._score(active, result, name) for name in self.rule.recorded},
        )
        records = (*now.records, record)
        return Progress(now.round + 1, parameters, velocity, state, attack_state, records, buffers, states, postponed)

    def _evaluator(self, now: Progress) -> Evaluator | None:
        if self.root is None:
            return None
        seed = Context(now.round, self.seed).draw_seed("model of the server")
        lr = self.server.lr
        return BackendEvaluator(self.backend, self.clients, self.root, now.parameters, lr, seed, now.buffers)

    def _score(self, active: Sequence[int], result: Result[Tensor] | None, name: str) -> tuple[float | None, ...]:
        values: list[float | None] = [None] * self.data.n
        if result is not None and name in result.scores:
            for client, value in zip(active, result.scores[name].tolist(), strict=True):
                values[client] = value if isfinite(value) else None
        return tuple(values)

    def _said(self, client: int, messages: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        return self.attack.say(messages, context.fold("attack")) if client in self.byzantine else messages

    @neutral()
    def _forge(
        self,
        ids: Sequence[Hashable],
        honest: list[int],
        byzantine: list[int],
        context: Context,
        now: Progress,
        before: State,
    ) -> State:
        """Put forged rows in the place of the byzantine clients' own; what the attack remembers of it."""
        if not (honest and byzantine):
            return before
        # The attack sees a copy of the byzantine clients' own rows, since their places are written to below, and of
        # the others stacks that know nothing of these places.
        own = self._rows[torch.tensor(byzantine)]
        view = View(
            honest=_stack_of(self._rows, honest, ids),
            own=Dense(own, ids=[ids[i] for i in byzantine]),
            context=replace(context.fold("attack"), evaluator=None, messages={}),
            decide=partial(decision, self.rule, state=now.rule_state, context=context.fold("rule")),
            previous=_as_sent(now.velocity, self.clients),
            state=before,
        )
        forged = self.attack.forged(view)
        # The same memory, without PyTorch's count of writes, by which stacks notice that their rows were written to:
        # the stack of honest rows watches this tensor, and what is written below is beside its rows.
        places = self._rows.data
        if not self.attack.history:
            for block in forged.blocks():
                places[byzantine, block.start : block.stop] = block.rows.to(places.dtype)
            return before
        sent = materialise(forged).to(places.dtype)
        state = self.attack.advance(view, sent)
        places[byzantine] = sent
        return state

    def _confidence(self, parameters: Tensor, buffers: Tensor | None) -> float | None:
        """Of the attack's success, where it is after some samples."""
        test = self.data.dataset.test
        wanted = self.attack.aim(test.inputs, test.labels, self.data.dataset.classes) if self.byzantine else None
        return None if wanted is None else self.backend.confidence(parameters, Split(*wanted), buffers)

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
            "model": self.backend.description,
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
            "dropout": self.dropout,
            "late": self.late,
            "batch norm": self.batch_norm,
            "root": None if self.root is None else _checksum(self.root.inputs, self.root.labels),
            "seed": self.seed,
            "device": self.device.type,
        }

    def _save(self, path: Path) -> None:
        save_checkpoint(path, self.identity, self.progress.to_saved())


class _Clock:
    """Wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[phase] = time.perf_counter() - start


def _seeded(model: Model, seed: int) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    if not callable(model):
        raise ValueError(f"Simulation: model is a module or a function that makes one, got {model!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Context(seed=seed).draw_seed("model"))
        made = model()
    if not isinstance(made, nn.Module):
        raise ValueError(f"Simulation: model is a module or a function that makes one, and {model!r} made {made!r}")
    return made


def _checksum(*tensors: Tensor) -> str:
    crc = 0
    for tensor in tensors:
        crc = zlib.crc32(tensor.contiguous().cpu().numpy().data, crc)
    return f"{crc:08x}"


def _stack_of(rows: Tensor, places: list[int], ids: Sequence[Hashable]) -> Updates:
    """A stack of some of the rows, read where they lie: of one piece if they are."""
    theirs = [ids[i] for i in places]
    first, last = places[0], places[-1]
    if last - first + 1 == len(places):
        return Dense(rows[first : last + 1], ids=theirs)
    return Layers([[rows[i]] for i in places], ids=theirs)


def _as_sent(velocity: Tensor | None, clients: Client) -> Tensor | None:
    """The server's last step with the sign of what clients send."""
    return -velocity if velocity is not None and clients.sends == "delta" else velocity


def _mean_buffers(answers: Sequence[Answer], accepted: Tensor, before: Tensor | None) -> Tensor | None:
    """Mean of the accepted clients' running statistics, those that are finite; as before if there are none."""
    if before is None:
        return None
    sent = [a.buffers for a, ok in zip(answers, accepted.tolist(), strict=True) if ok and a.buffers is not None]
    finite = [b for b in sent if bool(b.isfinite().all())]
    return torch.stack(finite).mean(0) if finite else before
