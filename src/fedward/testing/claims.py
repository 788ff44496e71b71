"""Properties that a rule may claim, and what it is held to by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..core import Aggregator, Rule
from . import hostile
from .compare import On, close
from .rounds import ROUNDS, next_round, output_of
from .stacks import fewest, random_stack, without_byzantine


def check_claim(rule: Rule, claim: str) -> None:
    """Hold a rule to one of the properties of its traits, and say who claims it where it does not say so itself."""
    assert claim in PROPERTIES, f"unknown; valid: {', '.join(PROPERTIES)}"
    try:
        with On(_made()):
            PROPERTIES[claim](rule, random_stack(rule))
    except AssertionError as error:
        if "properties" in rule.declared.given:
            raise
        raise AssertionError(f"{error}; {_unsaid(rule, claim)}") from error


def _made(**arguments: int) -> str:
    """A random stack, as a message has it: what makes its rows once more."""
    given = "".join(f", {name}={value}" for name, value in {"seed": 0, **arguments}.items())
    return f"fedward.testing.random_stack(rule{given})"


def _unsaid(rule: Rule, claim: str) -> str:
    """Where a claim comes from that a rule has not made, and how to take it back."""
    left = ", ".join(map(repr, sorted(rule.traits().properties - {claim})))
    return (
        "Traits that say nothing of properties claim this: if the rule is meant to be without, write "
        f"declared = fedward.Traits(..., properties=frozenset({{{left}}}))"
    )


def check_order(rule: Rule) -> None:
    """rows in another order give the same"""
    # A function has no traits to claim anything in; in a simulation the place of a row would tell who is byzantine.
    try:
        with On(_made()):
            _in_any_order(rule, random_stack(rule))
    except AssertionError as error:
        remedy = (
            "where the order is meant to count, write a class, with declared = fedward.Traits(properties=frozenset())"
        )
        raise AssertionError(f"{error}; {remedy}") from error


def _permutation(rule: Rule, G: Tensor) -> None:
    _in_any_order(rule, G)
    _few_in_any_order(rule)


def _in_any_order(rule: Rule, G: Tensor) -> None:
    order = torch.randperm(len(G), generator=torch.Generator().manual_seed(0))
    ids = [f"client {i}" for i in range(len(G))]
    one = Aggregator(rule)
    other = Aggregator(rule)
    for _ in range(ROUNDS):
        a = next_round(one, G, ids=ids)
        b = next_round(other, G[order], ids=[ids[i] for i in order])
        close(a.output, b.output)
        assert torch.equal(a.accepted[order], b.accepted), "other clients are accepted in another order"


def _few_in_any_order(rule: Rule) -> None:
    """Clients so few that two of them are always alike in some way; two rounds of rules that remember."""
    for n in range(max(fewest(rule), 2), fewest(rule) + 3):
        for seed in range(4):
            generator = torch.Generator().manual_seed(seed)
            order = torch.arange(n).flip(0) if seed == 0 else torch.randperm(n, generator=generator)
            one = Aggregator(rule)
            other = Aggregator(rule)
            for round in range(2 if rule.traits().history else 1):
                made = {"seed": 10 * seed + round, "extra": n - fewest(rule), "d": 5 + 20 * (seed % 2)}
                G = random_stack(rule, **made)
                a = next_round(one, G, range(n))
                b = next_round(other, G[order], order.tolist())
                with On(f"{_made(**made)} in the order {order.tolist()}"):
                    close(b.output, a.output)
                    same = torch.equal(a.accepted[order], b.accepted)
                    assert same, f"other clients of {n} are accepted in another order"


def _translation(rule: Rule, G: Tensor) -> None:
    shift = torch.linspace(-3, 3, G.shape[1], dtype=G.dtype)
    close(output_of(rule, G + shift), output_of(rule, G) + shift)


def _scale(rule: Rule, G: Tensor) -> None:
    for factor in (4.0, 1 / 32, 3.7):
        close(output_of(rule, factor * G), factor * output_of(rule, G))


def _columns(rule: Rule, G: Tensor) -> None:
    order = torch.randperm(G.shape[1], generator=torch.Generator().manual_seed(0))
    close(output_of(rule, G[:, order]), output_of(rule, G)[order])


def _rotation(rule: Rule, G: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(G.shape[1], G.shape[1], generator=generator, dtype=G.dtype)).Q
    close(output_of(rule, G @ Q), output_of(rule, G) @ Q)


def _unanimity(rule: Rule, G: Tensor) -> None:
    close(output_of(rule, G[:1].expand(len(G), -1)), G[0])


def _mean(rule: Rule, G: Tensor) -> None:
    close(output_of(without_byzantine(rule), G), G.mean(0))


def _box(rule: Rule, G: Tensor) -> None:
    output = output_of(rule, G)
    slack = 1e-9 * G.abs().amax(0)
    assert bool((output >= G.amin(0) - slack).all()), "output is below every row in some column"
    assert bool((output <= G.amax(0) + slack).all()), "output is above every row in some column"


PROPERTIES: Mapping[str, Callable[[Rule, Tensor], None]] = {
    "permutation": _permutation,
    "translation": _translation,
    "scale": _scale,
    "columns": _columns,
    "rotation": _rotation,
    "unanimity": _unanimity,
    "mean": _mean,
    "box": _box,
    "breakdown": hostile.breakdown,
}
"""What a rule is held to if it claims it, by the name in its `Traits`."""
