"""What every attack must do."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..attacks import Attack, Batch, View
from ..core import Context, State
from ..stack import Dense, materialise
from .aliasing import check_attack_keeps_copies
from .compare import close, equal
from .rounds import attack_rounds
from .stacks import COLUMNS, rows_of_both
from .suite import Check, CheckOutcome, OnFail, require_kind, run_checks

_SIZES = ((13, 4, COLUMNS), (5, 1, 7), (1, 1, 1))  # honest and byzantine clients, columns
_ROUNDS = 4
_CLASSES = 4


def check_attack(attack: Attack, *, on_fail: OnFail = "raise") -> tuple[CheckOutcome, ...]:
    """Put an attack through its suite.

    Shape, dtype and kind of the rows; determinism under a seed; inputs left as they were; block size irrelevant; no use
    of rows that its ``knows`` excludes; the same over several rounds with its memory, which must be tensors of its own;
    and what it makes of data, images of 4 classes.

    Args:
        attack: the attack, with its parameters.
        on_fail: "raise" an error, or "report" failures in what is returned.

    Raises:
        AssertionError: checks failed; the message has a line for each of them.
        TypeError: this is no attack, or a class without its parameters.
    """
    return run_checks(attack_checks(attack), on_fail)


def attack_checks(attack: Attack) -> tuple[Check, ...]:
    """The suite of an attack, as data."""
    require_kind(attack, Attack)
    tests = {
        "rows alone": _check_rows,
        "knowledge": check_knowledge,
        "several rounds": _check_rounds,
        "copies": check_attack_keeps_copies,
    }

    def at_every_size(name: str) -> None:
        for size in _SIZES:
            tests[name](attack, *rows_of_both(*size))

    on_rows = [Check(name=name, test=partial(at_every_size, name)) for name in tests]
    return (*on_rows, Check(name="data", test=partial(_check_poison, attack)))


def _check_rows(attack: Attack, honest: Tensor, own: Tensor) -> None:
    before = (honest.clone(), own.clone())
    context = Context(round=2, seed=5)
    forged = attack(honest, own, context=context)
    assert equal(forged, attack(honest, own, context=context)), "two calls with one seed differ"
    assert torch.equal(honest, before[0]), "honest rows were modified"
    assert torch.equal(own, before[1]), "own rows were modified"
    # A call has what a class draws from global generators follow from the seed; it is to draw from the context's.
    view = View(honest=Dense(honest), own=Dense(own), context=context)
    first, second = materialise(attack.forge(view)), materialise(attack.forge(view))
    assert equal(first, second), "two calls with one seed differ"
    lazily = attack.forged(View(honest=Dense(honest, block=3), own=Dense(own, block=3), context=context))
    close(materialise(lazily).nan_to_num(), forged.nan_to_num())
    for dtype in (torch.float64, torch.float32):
        view = View(honest=Dense(honest.to(dtype)), own=Dense(own.to(dtype)), context=context)
        rows = attack.forged(view)
        assert rows.dtype == dtype, f"rows of dtype {dtype} gave forged rows of dtype {rows.dtype}"
    assert isinstance(attack(honest.numpy(), own.numpy()), np.ndarray), "arrays gave something else"


def check_knowledge(attack: Attack, honest: Tensor, own: Tensor, rounds: int = _ROUNDS) -> None:
    """Raise AssertionError if an attack looks at other rows than it says, in any of some rounds."""
    if attack.traits().knows == "own":
        assert not looks_at(attack, "honest", honest=honest, own=own, rounds=rounds), "it looks at honest rows"
    if attack.traits().knows == "honest":
        assert not looks_at(attack, "own", honest=honest, own=own, rounds=rounds), "it looks at the clients' own rows"


def looks_at(attack: Attack, which: str, *, honest: Tensor, own: Tensor, rounds: int) -> bool:
    """Whether an attack sends something else when these rows are others."""
    if which == "honest":
        changed = sent_by(attack, 3 - 2 * honest, own, rounds)
    else:
        changed = sent_by(attack, honest, 3 - 2 * own, rounds)
    return not alike(sent_by(attack, honest, own, rounds), changed)


def sent_by(attack: Attack, honest: Tensor, own: Tensor, rounds: int = _ROUNDS) -> list[Tensor]:
    """What an attack sends in some rounds, with its memory."""
    return [round.sent for round in attack_rounds(attack, honest, own, rounds)]


def alike(some: list[Tensor], others: list[Tensor]) -> bool:
    """Whether the same was sent in every round."""
    return all(map(equal, some, others))


def _check_rounds(attack: Attack, honest: Tensor, own: Tensor) -> None:
    sent = []
    remembered: State = {}
    for round in attack_rounds(attack, honest, own, _ROUNDS):
        sent.append(round.sent)
        assert all(isinstance(v, Tensor) for v in round.state.values()), "its memory has something other than tensors"
        unchanged = all(equal(round.view.state[name], value) for name, value in remembered.items())
        assert unchanged, "its memory was modified in place"
        assert attack.traits().history or not round.state, "it remembers, and does not say so: history"
        remembered = {name: value.clone() for name, value in round.state.items()}
    assert alike(sent, sent_by(attack, honest, own)), "two runs with one seed differ"


def _check_poison(attack: Attack) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 1, 8, 8, generator=generator)
    labels = torch.randint(0, _CLASSES, (12,), generator=generator)
    batch = Batch(inputs=inputs.clone(), labels=labels.clone(), classes=_CLASSES)
    context = Context(round=2, seed=5)
    poisoned = attack.poison(batch, context)
    again = attack.poison(Batch(inputs=inputs.clone(), labels=labels.clone(), classes=_CLASSES), context)
    assert torch.equal(batch.inputs, inputs), "inputs were modified in place"
    assert torch.equal(batch.labels, labels), "labels were modified in place"
    assert equal(poisoned.inputs, again.inputs), "two calls with one seed differ in inputs"
    assert torch.equal(poisoned.labels, again.labels), "two calls with one seed differ in labels"
    assert poisoned.inputs.shape == inputs.shape, f"inputs came back with shape {tuple(poisoned.inputs.shape)}"
    assert poisoned.labels.shape == labels.shape, f"labels came back with shape {tuple(poisoned.labels.shape)}"
    beyond = poisoned.labels[(poisoned.labels < 0) | (poisoned.labels >= _CLASSES)].tolist()
    assert not beyond, f"labels beyond the {_CLASSES} classes: {beyond}"
