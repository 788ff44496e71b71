"""What every attack must do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..attacks import Attack, Batch, View
from ..core import Context, State
from ..stack import Dense, materialise
from .aliasing import check_attack_keeps_copies
from .compare import Named, close, equal
from .rounds import averaging
from .stacks import COLUMNS

_ROUNDS = 4


def check_attack(attack: Attack) -> None:
    """Put an attack through its suite.

    Shape, dtype and kind of the rows; determinism under a seed; inputs left as they were; block size irrelevant; no use
    of rows that its ``knows`` excludes; the same over several rounds with its memory, which must be tensors; and what
    it makes of data, images of 4 classes.

    Raises:
        AssertionError: a check failed.
    """
    generator = torch.Generator().manual_seed(0)
    for h, m, d in ((13, 4, COLUMNS), (5, 1, 7), (1, 1, 1)):
        honest = 1 + torch.randn(h, d, generator=generator, dtype=torch.float64)
        own = 1 + torch.randn(m, d, generator=generator, dtype=torch.float64)
        with Named("rows alone"):
            _check_rows(attack, honest, own)
        with Named("knowledge"):
            _check_knowledge(attack, honest, own)
        with Named("several rounds"):
            _check_rounds(attack, honest, own)
            check_attack_keeps_copies(attack, honest, own)
    with Named("data"):
        _check_poison(attack, generator)


def _check_rows(attack: Attack, honest: Tensor, own: Tensor) -> None:
    before, context = (honest.clone(), own.clone()), Context(round=2, seed=5)
    forged = attack(honest, own, context=context)
    assert equal(forged, attack(honest, own, context=context)), "two calls with one seed differ"
    assert torch.equal(honest, before[0]), "honest rows were modified"
    assert torch.equal(own, before[1]), "own rows were modified"
    lazily = attack.forge(View(Dense(honest, block=3), Dense(own, block=3), context))
    close(materialise(lazily).nan_to_num(), forged.nan_to_num())
    for dtype in (torch.float64, torch.float32):
        rows = attack.forge(View(Dense(honest.to(dtype)), Dense(own.to(dtype)), context))
        assert rows.dtype == dtype, f"rows of dtype {dtype} gave forged rows of dtype {rows.dtype}"
    assert isinstance(attack(honest.numpy(), own.numpy()), np.ndarray), "arrays gave something else"


def _check_knowledge(attack: Attack, honest: Tensor, own: Tensor) -> None:
    knows, context = attack.traits().knows, Context(round=1, seed=2)
    forged = attack(honest, own, context=context)
    if knows == "own":
        assert equal(forged, attack(3 - 2 * honest, own, context=context)), "it looks at honest rows"
    if knows == "honest":
        assert equal(forged, attack(honest, 3 - 2 * own, context=context)), "it looks at the clients' own rows"


def _check_rounds(attack: Attack, honest: Tensor, own: Tensor) -> None:
    def play() -> list[Tensor]:
        state: State = {}
        sent, previous = [], None
        for round in range(_ROUNDS):
            rows, mine = Dense(honest + round, block=7), Dense(own - round, block=7)
            saved = {k: v.clone() for k, v in state.items()}
            view = View(rows, mine, Context(round=round, seed=1), averaging, previous, state)
            sent.append(materialise(attack.forge(view)))
            after = attack.advance(view, sent[-1])
            assert all(isinstance(v, Tensor) for v in after.values()), "its memory has something other than tensors"
            assert all(torch.equal(state[k], v) for k, v in saved.items()), "its memory was modified in place"
            assert attack.traits().history or not after, "it remembers, and does not say so: history"
            state, previous = after, rows.combine(torch.full((rows.n,), 1 / rows.n, dtype=torch.float64))
        return sent

    first, second = play(), play()
    assert all(map(equal, first, second)), "two runs with one seed differ"


def _check_poison(attack: Attack, generator: torch.Generator) -> None:
    inputs = torch.randn(12, 1, 8, 8, generator=generator)
    labels = torch.randint(0, 4, (12,), generator=generator)
    batch, context = Batch(inputs.clone(), labels.clone(), classes=4), Context(round=2, seed=5)
    poisoned = attack.poison(batch, context)
    again = attack.poison(Batch(inputs.clone(), labels.clone(), classes=4), context)
    assert torch.equal(batch.inputs, inputs), "inputs were modified in place"
    assert torch.equal(batch.labels, labels), "labels were modified in place"
    assert equal(poisoned.inputs, again.inputs), "two calls with one seed differ in inputs"
    assert torch.equal(poisoned.labels, again.labels), "two calls with one seed differ in labels"
    assert poisoned.inputs.shape == inputs.shape, f"inputs came back with shape {tuple(poisoned.inputs.shape)}"
    assert poisoned.labels.shape == labels.shape, f"labels came back with shape {tuple(poisoned.labels.shape)}"
    beyond = poisoned.labels[(poisoned.labels < 0) | (poisoned.labels >= 4)].tolist()
    assert not beyond, f"labels beyond the 4 classes: {beyond}"
