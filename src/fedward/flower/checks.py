"""Which rules go together with which arguments, found out before a federation starts."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import signature

import torch

from ..core import Aggregator, BoundError, Rule
from ..registry.component import components_within
from ..registry.naming import did_you_mean
from ..registry.notation import describe
from ..rules import Mean

MOST = 1 << 12
"""Rows that a rule is tried with."""

NO_MAJORITY = 3
"""Fewer rows have no majority that one liar is not half of."""


def check_fits(rule: Rule, evaluator: object, trust_examples: bool) -> None:
    """Raise a TypeError or ValueError for a rule that cannot be used with these arguments."""
    if rule.traits().root_data and evaluator is None:
        raise ValueError(f"{rule!r} judges nodes by data of the server's own: pass evaluator=...")
    if not isinstance(trust_examples, bool):
        raise TypeError(f"trust_examples is True or False, got {trust_examples!r}")
    if not trust_examples:
        return
    if rule.traits().server_rows:
        raise ValueError(f"{rule!r} adds rows of the server's own, which have no examples: trust_examples=False")
    if uses_examples(rule):
        raise ValueError(f"{rule!r} uses examples itself, which would count twice: trust_examples=False")
    if not weighs_rows(rule):
        raise ValueError(f"{rule!r} looks at columns and weighs no rows: trust_examples=False")


def uses_examples(rule: Rule) -> bool:
    """Whether the rule, or one inside it, weighs clients by the examples that they claim."""
    return any(getattr(part, "weighted", False) is True for part in components_within(rule))


def weighs_rows(rule: Rule) -> bool:
    """Whether the rule gives rows weights, as a trial on made-up rows tells; also where it needs more than rows."""
    n = 4
    while n < MOST and not enough(rule, n):
        n *= 2
    rows = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    try:
        return Aggregator(rule)(rows).weights is not None
    except Exception:  # a rule may ask for names of clients, layers or data of the server's
        return True


def enough(rule: Rule, n: int) -> bool:
    """Whether a rule can decide on so many rows."""
    try:
        rule.check(n)
    except BoundError:
        return False
    return True


def barely_enough(rule: Rule, asked: int) -> str:
    """What a round of so many nodes cannot stand, though the rule can decide on all of their replies; else nothing."""
    if asked < NO_MAJORITY:
        return no_majority(rule)
    try:
        room = enough(rule, asked - 1) or not enough(rule, asked)
    except Exception:  # a rule of the user's, which may fail in its round, and costs no more than that
        return ""
    if room:
        return ""
    return (
        f"{describe(rule)}: {asked} nodes are asked, {asked} are needed, so that one reply which fails or does not "
        "count leaves the model as it was; take a smaller f, or ask more (min_train_nodes)"
    )


def no_majority(rule: Rule) -> str:
    """What no rule without data of its own can do with one or two replies; nothing of one that promises nothing."""
    if rule.traits().root_data or isinstance(rule, Mean):
        return ""
    return (
        f"{describe(rule)} protects from nobody in rounds of one or two sound replies: nobody can tell which of two "
        "lies (their median is their mean), so that one liar decides; ask at least 3 nodes (min_train_nodes), and more "
        "than twice as many as may lie"
    )


def check_names(made: type, around: type, given: Iterable[str]) -> None:
    """Whether arguments by name that are passed on are those of the class that they are passed on to.

    Raises:
        TypeError: neither class has one of this name; with the nearest that there is.
    """
    theirs = signature(around).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in theirs.values()):
        return
    for name in given:
        if name not in theirs:
            names = [key for key, p in signature(made).parameters.items() if p.kind is not p.VAR_KEYWORD]
            raise TypeError(f"{made.__name__} has no argument {name!r}{did_you_mean(name, [*names, *theirs])}")
