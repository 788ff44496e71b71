"""The backend of simulations: clients side by side on the cores, gradients of several of them from one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from logging import getLogger
from queue import SimpleQueue
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..clients import Answer, Client, LocalModel, Samples, Setup, Shard, Task, carry_out
from ..clients.base import introduced, take_together
from ..clients.model import USUAL, evaluation_parts
from ..clients.tally import Tally
from ..data.dataset import Split
from .backends import Loop, fill
from .grouped import GroupedGradients, UngroupableError

_LOGGER = getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_SAMPLES = {"cpu": 300, "cuda": 1 << 14}  # in a pass: activations that stay in cache, or that keep a GPU busy
_ACTIVATIONS = {"cpu": 1 << 23, "cuda": 1 << 29}  # entries that go into the layers in a pass
_SCRATCH = 1 << 26  # entries of gradients that are not written to where they are sent from
_UNSHARED = (UngroupableError, RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What a model may raise that would take each of the batches alone."""
_TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of two gradients that are to be the same, by precision


class Parallel(Loop):
    """`Loop`'s answers, from several threads of one core each and from passes that several clients share.

    The number of threads changes nothing in the results, to the last bit. Shared passes agree with `Loop` to float32
    rounding; the first is compared with it, and a model for which it does not agree (one that normalises over batches,
    or draws random numbers in its own way) goes client by client. Models that draw from PyTorch's own generator, which
    threads share, have one client work at a time.

    Args:
        model, setup: as in `LocalModel`.
        threads: at most so many clients at once; as many as PyTorch has threads if None. One on other devices.

    Attributes:
        together: whether passes were shared in the last round that asked for batches; None before there was one.
        apart: why they are not, or not in all rounds, which is logged once.
        samples_at_once: in a shared pass at most.

    Raises:
        ValueError: threads below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        setup: Setup = USUAL,
        threads: int | None = None,
    ) -> None:
        super().__init__(model, setup)
        if threads is not None and threads < 1:
            raise ValueError(f"threads >= 1 is needed, got {threads}")
        on_cpu = self.local.device.type == "cpu"
        self.threads = (threads or torch.get_num_threads()) if on_cpu else 1
        self._one_by_one = not on_cpu
        self.together: bool | None = None
        self.apart: str | None = None
        self._agrees: bool | None = None
        """Whether the model makes the same of several batches at once; None before there were any to try it on."""
        place = "cpu" if on_cpu else "cuda"
        self.samples_at_once = _SAMPLES[place]
        self._activations = _ACTIVATIONS[place]
        self._workers = [self.local]
        self._workers += [LocalModel(model, setup) for _ in range(self.threads - 1)]
        self._idle: SimpleQueue[LocalModel] = SimpleQueue()
        for worker in self._workers:
            worker.shares_generator = self._one_by_one
            self._idle.put(worker)
        try:
            self._passes = {id(worker): GroupedGradients(worker) for worker in self._workers}
        except UngroupableError as error:
            self._passes = {}
            self._agrees = False
            self._work_apart(str(error))

    def messages(self, algorithm: Client, tasks: Sequence[Task], out: Tensor) -> list[Answer]:
        if self._agrees is not False and len(tasks) > 1:
            asked = [algorithm.asks(task) for task in tasks]
            batches = [list(of_task) for of_task in asked if of_task]
            for worker in self._workers:
                worker.smoothing = algorithm.label_smoothing()
            if len(batches) == len(tasks) and self._can_share(tasks, batches):
                try:
                    return fill(out, self._shared(algorithm, tasks, batches, out))
                except _UNSHARED as error:
                    # This round alone, so that a run that is resumed shares in the same rounds.
                    self._check_memory(error)
                    self._say_apart(f"the model did not take the batches of a round at once: {error}")
        if not self._one_by_one:
            before = torch.default_generator.get_state()
            answers = fill(out, self._each(lambda worker, task: carry_out(algorithm, worker, task), tasks))
            if torch.equal(before, torch.default_generator.get_state()):
                return answers
            # Something drew from the generator that all threads share, so that it mattered who was first.
            torch.default_generator.set_state(before)
            self._one_by_one = self.local.shares_generator = True
        return super().messages(algorithm, tasks, out)

    def evaluate(self, parameters: Tensor, split: Split, buffers: Tensor | None = None) -> Tally:
        def tally(worker: LocalModel, part: slice) -> Tally:
            worker.load(parameters, buffers)
            return worker.tally(split.inputs[part], split.labels[part])

        return Tally.sum(self._each(tally, evaluation_parts(len(split))))

    # --- side by side -----------------------------------------------------------------------------------------

    def _each(self, work: Callable[[LocalModel, T], R], items: Sequence[T]) -> Iterator[R]:
        """What comes of each item, in order, from whichever worker is free."""

        def one(item: T) -> R:
            worker = self._idle.get()
            try:
                return work(worker, item)
            finally:
                self._idle.put(worker)

        on_cpu = self.local.device.type == "cpu"
        if on_cpu and max(self.threads, torch.get_num_threads()) > 1:
            return _pool(os.getpid(), self.threads).map(one, items)
        return map(one, items)

    # --- in one pass ------------------------------------------------------------------------------------------

    def _can_share(self, tasks: Sequence[Task], batches: Sequence[Sequence[Samples]]) -> bool:
        """Whether the batches of this round can share passes: a matter of the model and of them, not of rounds before.

        So a run that is resumed shares in the rounds in which it would have shared without.
        """
        first = tasks[0].parameters
        if any(task.parameters is not first or task.buffers is not None for task in tasks):
            return False
        if self._agrees is None:
            with torch.random.fork_rng(devices=[]):  # the model may turn out to draw from PyTorch's own generator
                self._agrees = self._agree(tasks[:2], [samples for samples, *_ in batches[:2]])
        if not self._agrees:
            return False
        # Two batches at least, or there is nothing to share but memory.
        size = min(len(numbers) for of_task in batches for _, numbers in of_task)
        room = self._activations // max(self._passes[id(self.local)].entries, 1)
        if room < 2 * size:
            self._work_apart(f"a batch of {size} fills a pass, this model's layers take so much")
            return False
        self.samples_at_once = min(self.samples_at_once, room)
        self.together = True
        return True

    def _agree(self, tasks: Sequence[Task], batches: Sequence[Samples]) -> bool:
        """Whether two gradients come out of one pass as they come out of two.

        At the initial parameters, so that a run that is resumed comes to the same conclusion.
        """
        tasks = [replace(task, parameters=self.initial()) for task in tasks]
        size = min(len(numbers) for _, numbers in batches)
        batches = [(shard, numbers[:size]) for shard, numbers in batches]
        shared = torch.empty(2, len(self.local.initial), device=self.local.device)
        before = torch.default_generator.get_state()
        try:
            self._gradients(tasks, [[samples] for samples in batches], shared)
        except UngroupableError as error:
            self._work_apart(str(error))
            return False
        except _UNSHARED as error:
            self._check_memory(error)
            self._work_apart(f"the model does not take two batches at once: {error}")
            return False
        if not torch.equal(before, torch.default_generator.get_state()):
            self._work_apart("the model draws from PyTorch's own generator, one for all batches")
            return False
        alone = []
        for task, (shard, numbers) in zip(tasks, batches, strict=True):
            with self.local.seeded(task.seed):
                self.local.load(task.parameters)
                self.local.train()
                alone.append(self.local.gradient(*shard.take(numbers))[0].nan_to_num())
        expected = torch.stack(alone)
        tolerance = _TOLERANCE[self.local.precision]
        agree = torch.allclose(
            shared.nan_to_num(), expected, rtol=tolerance, atol=tolerance * float(expected.abs().max())
        )
        if not agree:
            self._work_apart("the model does not make the same of two batches at once as it does of two batches")
        return agree

    @staticmethod
    def _check_memory(error: Exception) -> None:
        """Raise what is no fault of sharing; what is wrong with the model itself comes up again with one batch."""
        if "memory" in str(error) and "allocate" in str(error):
            raise error

    def _work_apart(self, why: str) -> None:
        self.together = False
        self._say_apart(why)

    def _say_apart(self, why: str) -> None:
        if self.apart is None:
            self.apart = why
            _LOGGER.info("clients work one by one, passes are not shared: %s", why)

    def _shared(
        self, algorithm: Client, tasks: Sequence[Task], batches: Sequence[Sequence[Samples]], out: Tensor
    ) -> Iterator[Answer]:
        """The answers; gradients are written to where they are sent from if every client asks for one."""
        direct = all(len(of_task) == 1 for of_task in batches)
        counts = [len(of_task) for of_task in batches]
        parts = [slice(len(tasks))] if direct else _slices(counts, _SCRATCH // out.shape[1])
        for part in parts:
            gradients = out[part] if direct else out.new_empty(sum(counts[part]), out.shape[1])
            losses = self._gradients(tasks[part], batches[part], gradients)
            done = 0
            for task, count in zip(tasks[part], counts[part], strict=True):
                its = slice(done, done + count)
                done += count
                yield introduced(algorithm.answer(task, gradients[its].unbind(), losses[its]), task)

    def _gradients(self, tasks: Sequence[Task], batches: Sequence[Sequence[Samples]], out: Tensor) -> list[float]:
        """The gradients of all batches of all tasks into the rows of ``out``, in order, and the losses."""
        asked = [
            _Asked(turn=turn, task=k, shard=shard, numbers=numbers)
            for k, of_task in enumerate(batches)
            for turn, (shard, numbers) in enumerate(of_task)
        ]
        streams = [self.local.stream(task.seed) for task in tasks]
        losses = torch.empty(len(asked), device=out.device)

        def one_pass(worker: LocalModel, places: Sequence[int]) -> None:
            worker.load(tasks[0].parameters)
            worker.train()
            worker.streams[:] = [streams[asked[place].task] for place in places]
            given = take_together([(asked[place].shard, asked[place].numbers) for place in places])
            try:
                losses[list(places)] = self._passes[id(worker)](*given, [out[place] for place in places])
            finally:
                worker.streams[:] = [None]

        # A client's second batch comes after its first, for the sake of its random stream; sizes do not mix.
        order = sorted(range(len(asked)), key=lambda place: (asked[place].turn, asked[place].size, place))
        for _, of_turn in groupby(order, key=lambda place: asked[place].turn):
            passes: list[list[int]] = []
            for size, of_size in groupby(of_turn, key=lambda place: asked[place].size):
                places = list(of_size)
                many = max(self.samples_at_once // size, 1)
                passes += [places[i : i + many] for i in range(0, len(places), many)]
            list(self._each(one_pass, passes))
        return [float(loss) for loss in losses.tolist()]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Asked:
    """A batch whose gradient is asked for: which of its task's it is, and of which task."""

    turn: int
    task: int
    shard: Shard
    numbers: Tensor

    @property
    def size(self) -> int:
        """Samples in it."""
        return len(self.numbers)


def _slices(counts: Sequence[int], room: int) -> list[slice]:
    """Successive slices of the counts, each with a sum of at most ``room`` or of one count."""
    edges = [0]
    total = 0
    for k, count in enumerate(counts):
        if total and total + count > room:
            edges.append(k)
            total = 0
        total += count
    return [slice(a, b) for a, b in zip(edges, [*edges[1:], len(counts)], strict=True)]


@lru_cache(maxsize=8)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process (a fork has none of its parent's) in which PyTorch uses one core."""
    begun = Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread takes on the process's number at its first call, and would do so later
        torch.set_num_threads(1)
        begun.wait()

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fedward-clients", initializer=begin)
    for _ in range(threads):
        pool.submit(int)
    begun.wait()
    torch.set_num_threads(before)  # what the last of them said also goes for threads that are made later
    return pool
