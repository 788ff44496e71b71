"""`Simulation`: federated training on one machine, with some of the clients lying."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..attacks import Attack, NoAttack
from ..clients import Client, Gradient, Setup
from ..core import Context, Result, Rule, Skipped, Step
from ..data.dataset import FederatedData
from ..disk import check_folder
from ..registry.bounds import Natural
from ..registry.parameters import check_value, parameters_of
from .backends import Backend
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .clock import Clock
from .cohort import Arrivals, Cohort, byzantine_ids
from .enough import check_rows
from .fitting import fitting_model
from .holding import Hold
from .identity import UNCOUNTED, identity_of
from .parallel import Parallel
from .phases import Evaluated, Phases, Stepped
from .progress import SAVED, Progress
from .record import Record, by_client, reasons_of, share
from .root import root_split, without_root
from .running import Forge
from .server import Server, ServerSGD

_LENIENT = frozenset({"model", "byzantine", "device"})
"""Arguments that may be more than their annotation says, such as a set of clients: whoever reads them checks them."""
_TOLD_BY_OTHERS = frozenset({"model", "root_apart"})
"""Arguments that a run's identity has under other names: the backend's model, the shards without the root samples."""


class Simulation:
    """Train one model across clients, some of them byzantine, with a rule between them and the server.

    ``Simulation(model=SignGuardCNN, data=federate(load("fashion-mnist"), 50), rule=rules.SignGuard(),
    attack=attacks.ALIE(), byzantine=10)``. Everything random follows from ``seed``: the same seed on the same machine
    gives bitwise the same run, whether or not it was interrupted in between.

    Args:
        model: a module, taken with the weights it has, or a function that makes one, called under ``seed``; it may take
            ``shape`` (of a sample), ``classes`` and ``vocabulary``, by these names, or nothing.
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
        batch_norm: what becomes of running statistics: "mean" of those of accepted clients; "robust", the bounded
            median of everybody's, of accepted clients' under rules that judge by data of the server's; or "frozen".
        forge: what byzantine clients forge: "rows"; "both", their running statistics too, by the same factors; or
            "statistics" alone beside honest rows.
        root: training samples that the server has as well, for rules that judge clients by data of its own.
        root_apart: whether these are taken out of the shards of all clients, whatever the rule, so that rules which use
            them and rules which do not are compared on the same training data.
        seed: of everything random, at least 0.
        device: where models, data and rows live.
        threads: at most so many clients work at once on a CPU; as many as PyTorch has threads if None. Results do not
            depend on it.
        precision: "float32", or "bfloat16" to train in on a GPU, which halves the time there; parameters, rows and
            evaluation are float32 in both.

    Raises:
        BoundError: too few clients a round for the rule, or too few rows of a class where rounds have classes.
        ValueError: other arguments out of bounds.

    Examples:
        >>> from fedward import attacks, clients, rules, sim
        >>> simulation = sim.Simulation(
        ...     model=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)),
        ...     data=sim.federate(sim.load("fashion-mnist-subset"), clients=10),
        ...     rule=rules.Median(),
        ...     attack=attacks.SignFlip(),
        ...     byzantine=3,
        ...     clients=clients.Gradient(batch_size=8),
        ... )
        >>> [record.round for record in simulation.run(rounds=2)]
        [1, 2]
    """

    def __init__(
        self,
        *,
        model: nn.Module | Callable[..., nn.Module],
        data: FederatedData,
        rule: Rule,
        attack: Attack | None = None,
        byzantine: int | Sequence[int] = 0,
        clients: Client | None = None,
        server: Server | None = None,
        participation: float = 1.0,
        dropout: float = 0.0,
        late: float = 0.0,
        batch_norm: str = "mean",
        forge: Forge = "rows",
        root: int = 100,
        root_apart: bool = False,
        seed: Natural = 0,
        device: torch.device | str = "cpu",
        threads: int | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        if not isinstance(data, FederatedData):
            # Not all of its numbers.
            found = repr(data) if data is None or isinstance(data, str) else f"a {type(data).__name__}"
            raise ValueError(
                f"Simulation: data is FederatedData, got {found}; fedward.sim.federate(data, clients=10) deals data out"
            )
        given = {**locals()}  # the arguments, as long as nothing else has a name here
        for name, parameter in parameters_of(Simulation).items():
            if name not in _LENIENT:
                check_value("Simulation", name, given[name], parameter.takes)
        if root_apart:
            data = without_root(data, root, Context(seed=seed))
        self.data = data
        self.rule = rule
        self.attack = attack or NoAttack()
        self.clients = clients or Gradient(batch_size=60)
        self.server = server or ServerSGD(lr=1.0 if self.clients.traits().sends == "delta" else 0.1)
        self.participation = participation
        self.seed = seed
        self.device = torch.device(device)
        self.dropout = dropout
        self.late = late
        self.batch_norm = batch_norm
        self.precision = precision
        self.forge = forge
        self.byzantine = byzantine_ids(byzantine, data.n)
        if not 0 < participation <= 1:
            raise ValueError(f"participation is a share above 0 and at most 1, got {participation}")
        if not (dropout >= 0 and late >= 0 and dropout + late < 1):
            raise ValueError(f"dropout and late are shares, together below 1, got {dropout} and {late}")
        if late and self.clients.traits().by_class:
            raise ValueError(f"{self.clients!r} answers for the class of a round, so no answer can be late, got {late}")
        setup = Setup(device=self.device, batch_norm=batch_norm, precision=precision)
        self.backend: Backend = Parallel(fitting_model(model, data.dataset, seed), setup, _useful(threads, data.n))
        if forge == "statistics" and self.backend.buffer_layout is None:
            raise ValueError("forge='statistics' is for a model that has running statistics, and this one has none")
        self._cohort = Cohort(
            data=data,
            backend=self.backend,
            clients=self.clients,
            attack=self.attack,
            byzantine=self.byzantine,
            participation=participation,
            dropout=dropout,
            late=late,
            device=self.device,
            spare=forge != "statistics",
        )
        check_rows(rule, self._cohort)
        self.attack.check(range(data.n), self.byzantine)
        self.root = root_split(data.dataset.train, root, Context(seed=seed)) if rule.traits().root_data else None
        self._phases = Phases(
            cohort=self._cohort,
            rule=rule,
            attack=self.attack,
            server=self.server,
            root=self.root,
            seed=seed,
            batch_norm=batch_norm,
            forge=forge,
        )
        self._arrived: Arrivals | None = None
        initial, buffers = self.backend.initial(), self.backend.initial_buffers()
        self.progress = Progress(round=0, parameters=initial, buffers=buffers)

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
        return self._cohort.inbox.rows

    @property
    def statistics(self) -> Tensor | None:
        """The running statistics that came with them: (n, b); None where there are none, or not from everybody."""
        sent = [] if self._arrived is None else [arrival.buffers for arrival in self._arrived.each]
        there = [row for row in sent if row is not None]
        return torch.stack(there) if there and len(there) == len(sent) else None

    # --- the run --------------------------------------------------------------------------------------------

    def run(
        self, rounds: int, evaluate_every: int = 20, checkpoint: str | Path | None = None
    ) -> Generator[Record, None, None]:
        """Train until ``rounds`` rounds are completed, one record a round.

        With a checkpoint, an earlier run that left one there is resumed (`records` has its rounds too), and it is
        written whenever the model is evaluated and whenever the run ends, be it by Ctrl-C.

        Args:
            rounds: in all, earlier ones included.
            evaluate_every: evaluate after every so many rounds, and after the last.
            checkpoint: a file.

        Raises:
            CheckpointError: the checkpoint is damaged or of another configuration; it is left as it is.
            LockedError: another process writes it.
            NoFolderError: its folder is not there.
        """
        for name, value in (("rounds", rounds), ("evaluate_every", evaluate_every)):
            check_value("Simulation.run", name, value, int)
        if rounds < 1 or evaluate_every < 1:
            raise ValueError(f"rounds >= 1 and evaluate_every >= 1 are needed, got {rounds} and {evaluate_every}")
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None:
            check_folder(path)
        hold = Hold([path], "wait until it ends, or give this run another checkpoint")
        try:
            hold.take()
        except OSError:  # of a folder that may only be read, which is enough for a run that is finished
            if path is None or not path.exists() or self._resumed(path).round < rounds:
                raise
            self.progress = self._resumed(path)
        else:
            with hold:
                yield from self._run(rounds, evaluate_every, path)

    def _run(self, rounds: int, evaluate_every: int, path: Path | None) -> Generator[Record, None, None]:
        saved = -1
        if path is not None and path.exists():
            self.progress = self._resumed(path)
            saved = self.round
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
        clock = Clock()
        phases = self._phases
        drawn = phases.draw(now)
        with clock("gradients"):
            arrivals = phases.collect(drawn, now)
        with clock("attack"):
            context = phases.hear(arrivals, drawn)
            attacked = phases.attacked(arrivals, context, now, watch=evaluate)
            arrivals = self._arrived = attacked.arrivals
            updates = phases.stack(arrivals)
        with clock("aggregate"):
            judged = phases.judge(updates, context, now)
        stepped = Stepped(
            parameters=now.parameters,
            velocity=now.velocity,
            server_state=now.server_state,
            told=now.told,
            buffers=now.buffers,
        )
        if isinstance(judged, Step):
            with clock("update"):
                stepped = phases.step(arrivals, judged, now)
        evaluated = None
        if evaluate:
            with clock("evaluate"):
                evaluated = phases.evaluate(arrivals, updates, stepped, attacked.unsent)
        after = Progress(
            round=now.round + 1,
            parameters=stepped.parameters,
            velocity=stepped.velocity,
            server_state=stepped.server_state,
            told=stepped.told,
            buffers=stepped.buffers,
            rule_state=judged.state,
            attack_state=attacked.state,
            client_states=arrivals.states,
            late=arrivals.postponed,
        )
        record = self._record(
            round=after.round,
            arrivals=arrivals,
            judged=judged,
            evaluated=evaluated,
            attack=phases.played(context),
            seconds=clock.seconds,
            memory={"rows": self.rows.nbytes, **after.memory()} if evaluate else {},
        )
        return replace(after, records=(*now.records, record))

    def _record(
        self,
        *,
        round: int,
        arrivals: Arrivals,
        judged: Step | Skipped,
        evaluated: Evaluated | None,
        attack: str | None,
        seconds: Mapping[str, float],
        memory: Mapping[str, int],
    ) -> Record:
        """What is known about the round afterwards."""
        result = judged.result if isinstance(judged, Step) else None
        judges = self.rule.traits().judges
        accepted = [False] * len(arrivals.each) if result is None else result.accepted.tolist()
        losses = [float(arrivals.each[i].loss) for i in arrivals.honest]
        return Record(
            round=round,
            accuracy=evaluated.tally.accuracy if evaluated else None,
            balanced_accuracy=evaluated.tally.balanced_accuracy if evaluated else None,
            f1=evaluated.tally.f1 if evaluated else None,
            by_class=evaluated.tally.by_class if evaluated else (),
            worst_client=evaluated.worst_client if evaluated else None,
            calibration_error=evaluated.tally.calibration_error if evaluated else None,
            loss=evaluated.tally.loss if evaluated else None,
            train_loss=sum(losses) / len(losses) if losses else None,
            byzantine_accepted=share([accepted[i] for i in arrivals.byzantine]) if judges else None,
            honest_accepted=share([accepted[i] for i in arrivals.honest]) if judges else None,
            judged=judges,
            accepted=by_client(self.data.n, arrivals.clients, accepted),
            reasons=reasons_of(arrivals.clients, result),
            signs=evaluated.signs if evaluated else None,
            attack=attack,
            confidence=evaluated.confidence if evaluated else None,
            seconds=seconds,
            memory=memory,
            skipped=judged.why if isinstance(judged, Skipped) else None,
            note=(result.note or None) if result else None,
            scores={name: self._score(arrivals.clients, result, name) for name in self.rule.traits().recorded},
        )

    def _score(self, active: Sequence[int], result: Result[Tensor] | None, name: str) -> tuple[float | None, ...]:
        """A score by client; None for those that did not take part, or where it is not finite."""
        values: list[float | None] = [None] * self.data.n
        if result is not None and name in result.scores:
            for client, value in zip(active, result.scores[name].tolist(), strict=True):
                values[client] = value if isfinite(value) else None
        return tuple(values)

    # --- checkpoints ----------------------------------------------------------------------------------------

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that a run depends on, so that a checkpoint is never resumed with anything else."""
        names = inspect.signature(Simulation).parameters.keys() - UNCOUNTED - _TOLD_BY_OTHERS
        return identity_of({"model": self.backend, **{name: getattr(self, name) for name in sorted(names)}})

    def _resumed(self, path: Path) -> Progress:
        """Where the run stood that left a checkpoint."""
        saved = load_checkpoint(path, self.identity, SAVED)
        wrong = ""
        try:
            found = Progress.of_saved(saved, self.device)
            wrong = found.unlike(self.progress)
        except ValueError as error:
            wrong = str(error)
        if wrong:
            raise CheckpointError(f"{path}: {wrong}; move it away, or give this run another place")
        return found

    def _save(self, path: Path) -> None:
        save_checkpoint(path, self.identity, self.progress.to_saved())


def _useful(threads: int | None, clients: int) -> int | None:
    """No more threads than there are clients to work for."""
    return threads if threads is None else min(threads, clients)
