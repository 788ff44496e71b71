"""What every rule must do."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..core import (
    BEYOND,
    Aggregator,
    BoundError,
    Chain,
    Context,
    Filtered,
    Reason,
    Result,
    Rule,
    State,
    apply,
)
from ..core.function import FunctionRule
from ..stack import Dense, Layers
from . import aliasing, hostile
from .claims import check_claim, check_order
from .compare import On, Raises, close, equal, same
from .rounds import ROUNDS, next_round, output_of, verdict
from .stacks import (
    COLUMNS,
    STACKS,
    byzantine,
    call_of,
    example_stacks,
    fewest,
    random_stack,
    root_data,
    said,
    without_byzantine,
)
from .suite import Check, CheckOutcome, OnFail, require_kind, run_checks

Oracle = Callable[[np.ndarray], np.ndarray]


def check_rule(rule: Rule, *, oracle: Oracle | None = None, on_fail: OnFail = "raise") -> tuple[CheckOutcome, ...]:
    """Put a rule through the whole suite, on after a failure.

    Args:
        rule: the rule, with its parameters.
        oracle: a naive reference, (n, d) float64 array in, (d,) out, to compare first-round outputs with.
        on_fail: "raise" an error, or "report" failures in what is returned.

    Raises:
        AssertionError: checks failed; the message has a line for each of them.
        TypeError: this is no rule, or a class without its parameters.
    """
    return run_checks(rule_checks(rule, oracle=oracle), on_fail)


def rule_checks(rule: Rule, *, oracle: Oracle | None = None) -> tuple[Check, ...]:
    """The suite of a rule, as data."""
    require_kind(rule, Rule)
    checks = []
    if oracle is not None:
        for name in STACKS:
            test = partial(_check_oracle, rule, oracle, name)
            checks.append(Check(name=f"equals its oracle on a {name} stack", test=test))
    for check in CHECKS:
        checks.append(Check(name=check.__doc__ or check.__name__, test=partial(check, rule)))
    for claim in sorted(rule.traits().properties):
        checks.append(Check(name=f"claimed property {claim}", test=partial(check_claim, rule, claim)))
    if isinstance(rule, FunctionRule):
        checks.append(Check(name=check_order.__doc__ or "", test=partial(check_order, rule)))
    return tuple(checks)


def _check_oracle(rule: Rule, oracle: Oracle, name: str) -> None:
    G = STACKS[name](rule)
    with On(call_of(name)):
        close(output_of(rule, G), torch.from_numpy(oracle(G.numpy())), rtol=1e-6)


# --- checks every rule must pass ----------------------------------------------------------------------------


def _check_weights(rule: Rule) -> None:
    """weights @ G equals the output"""
    for stack, G in example_stacks(rule).items():
        with On(call_of(stack)):
            _check_output(rule, G, verdict(rule, G))


def _check_output(rule: Rule, G: Tensor, result: Result[Tensor]) -> None:
    assert result.accepted.shape == (len(G),), f"accepted has shape {tuple(result.accepted.shape)}"
    assert len(result.reasons) == len(G), f"{len(result.reasons)} reasons for {len(G)} rows"
    for name, score in result.scores.items():
        assert score.shape == (len(G),), f"score {name} has shape {tuple(score.shape)}"
    if result.weights is not None:
        assert torch.equal(result.accepted, result.weights > 0), "accepted is not weight > 0"
    if result.weights is not None and not rule.traits().server_rows:
        close(result.weights @ G, result.output)


def _check_blocks(rule: Rule) -> None:
    """block size and layer split do not change the decision"""
    G = random_stack(rule)
    whole = verdict(rule, Dense(G))
    pieces = torch.split(G, [1, 90, 12, COLUMNS - 103], dim=1)
    clients = [list(layers) for layers in zip(*pieces, strict=True)]
    layered = Layers(clients, block=50)
    for other in (Dense(G, block=1), Dense(G, block=64), layered):
        same(whole, verdict(rule, other))


def _check_pure(rule: Rule) -> None:
    """decide is pure, and the input is not modified"""
    G = random_stack(rule)
    before = G.clone()
    context = Context(round=1, seed=3, messages=said(range(len(G))), evaluator=root_data(rule, COLUMNS))
    first = rule.decide(Dense(G), {}, context)
    assert torch.equal(G, before), "the input was modified"
    second = rule.decide(Dense(G), {}, context)
    close(first.execute(), second.execute(), rtol=0)
    state: State = {}
    for round in range(ROUNDS):
        context = replace(context, round=round, seed=0)
        saved = {k: v.clone() for k, v in state.items()}
        outcome = apply(rule, Dense(G), state, context)
        assert state.keys() == saved.keys(), "the state was modified"
        assert all(equal(state[k], v) for k, v in saved.items()), "the state was modified"
        state = outcome.state
    assert torch.equal(G, before), "the input was modified"


def _check_memory(rule: Rule) -> None:
    """memory is tensors by name, and the rule says that it has one"""
    aggregator = Aggregator(rule)
    for round in range(ROUNDS):
        next_round(aggregator, random_stack(rule, seed=round))
        for name, value in aggregator.state.items():
            is_named = isinstance(name, str)
            assert is_named, f"advance returned the key {name!r}; names are text"
            is_tensor = isinstance(value, Tensor)
            assert is_tensor, f"advance returned {name}: {value!r}; write torch.tensor({value!r})"
        remembers = bool(aggregator.state)
        assert rule.traits().history or not remembers, "it remembers, and does not say so: fw.Traits(history=True)"


def _check_passes(rule: Rule) -> None:
    """reads the data no more often than it declares"""
    declared = rule.traits().passes
    if declared is None:
        return
    state: State = {}
    for round in range(ROUNDS):
        updates = Dense(random_stack(rule, seed=round), block=64)
        context = Context(round=round, messages=said(updates.ids), evaluator=root_data(rule, COLUMNS))
        state = apply(rule, updates, state, context).state
        passes = updates.columns_read / updates.d
        assert passes <= declared, f"{passes:g} passes in round {round}, declared: {declared}"


def _check_resume(rule: Rule) -> None:
    """resuming from a saved state is bitwise equal"""
    stacks = [random_stack(rule, seed=s) for s in range(2 * ROUNDS)]
    straight = Aggregator(rule, seed=1)
    resumed = Aggregator(rule, seed=1)
    for G in stacks[:ROUNDS]:
        next_round(straight, G)
    buffer = io.BytesIO()
    torch.save(straight.state_dict(), buffer)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for G in stacks[ROUNDS:]:
        close(next_round(straight, G).output, next_round(resumed, G).output, rtol=0)


def _check_nonfinite(rule: Rule) -> None:
    """rows with NaN or Inf are left out, as if they had not been sent"""
    G = random_stack(rule)
    for bad in (torch.nan, torch.inf, -torch.inf):
        attacked = torch.cat([G[:2], G[:1], G[2:], G[:1]])
        attacked[2, 5 % G.shape[1]] = bad
        attacked[-1] = bad
        result = verdict(rule, attacked)
        for row in (2, len(attacked) - 1):
            assert result.reasons[row] is Reason.NONFINITE, f"a row with {bad} got reason {result.reasons[row]}"
            assert not result.accepted[row], f"a row with {bad} was accepted"
        # Who goes by ids, and says so, is told whose the rows are; to others they are numbered anew.
        left = [row for row in range(len(attacked) - 1) if row != 2] if rule.traits().by_client else None
        clean = verdict(rule, G, left)
        close(result.output, clean.output, rtol=1e-9)
    with Raises(BoundError):
        verdict(rule, torch.full_like(G, torch.nan))
    if fewest(rule) > 1:
        few = random_stack(rule, extra=0)
        few[0] = torch.nan
        with Raises(BoundError):
            verdict(rule, few)


def _check_huge(rule: Rule) -> None:
    """rows of 1e30 give a finite output"""
    for dtype in (torch.float32, torch.float64):
        G = random_stack(rule).to(dtype)
        for size in (1e30, -1e30):
            attacked = G.clone()
            attacked[0] = size
            output = verdict(rule, attacked).output
            assert bool(output.isfinite().all()), f"output is not finite with a {dtype} row of {size}"


def _check_bound(rule: Rule) -> None:
    """works at its bound on n and says why not below"""
    n = fewest(rule)
    G = random_stack(rule, extra=0)
    assert output_of(rule, G).shape == (G.shape[1],)
    if n > 1:
        with Raises(BoundError) as caught:
            output_of(rule, G[: n - 1])
        # A chain or a filter speaks of the rows that reach its rule, and of the clients they are made of.
        named = [str(n - 1)] if isinstance(rule, Chain | Filtered) else [str(n), str(n - 1)]
        for needed in named:
            assert needed in str(caught.error), f"the error does not name {needed}: {caught.error}"


def _check_beyond(rule: Rule) -> None:
    """says so beyond the bound of its theorem"""
    declared = rule.declared
    if declared.definition is None or not isinstance(getattr(rule, "f", 0), int):
        return
    needed = declared.bound.minimum(getattr(rule, "f", 0))
    for n in (fewest(rule), needed):
        note = verdict(rule, random_stack(rule, extra=n - fewest(rule))).note
        right = (BEYOND in note) == (n < needed)
        assert right, f"{n} of {needed} rows, and the note is {note!r}; write note=self.beyond(updates.n)"


def _check_selects(rule: Rule) -> None:
    """accepts no more rows than it says"""
    for stack, G in example_stacks(rule).items():
        with On(call_of(stack)):
            accepted = int(verdict(rule, G).accepted.sum())
            most = rule.most_accepted(len(G))
            assert accepted <= most, f"{accepted} of {len(G)} rows are accepted; most_accepted says {most}"


def _check_degenerate(rule: Rule) -> None:
    """identical rows, zero rows and a single column are no trouble"""
    G = random_stack(rule)
    for stack in (G[:1].expand(len(G), -1), torch.zeros_like(G), G[:, :1]):
        result = verdict(rule, stack)
        assert bool(result.output.isfinite().all()), "output is not finite"
        if result.weights is not None and not rule.traits().server_rows:
            close(result.weights @ stack, result.output)
    G[0] = 0
    assert bool(output_of(rule, G).isfinite().all()), "output is not finite with one zero row"


def _check_ties(rule: Rule) -> None:
    """colluders that send one row are all alike: which of them is chosen does not depend on rounding"""
    G = random_stack(rule, seed=6).float()
    G[-byzantine(rule, at_least=2) :] = G[-1].clone()
    first = verdict(rule, G)
    scales = (1.0, 1024.0) if "scale" in rule.traits().properties else (1.0,)
    for scale in scales:  # exact in binary: only rounding of sums over other blocks can differ
        again = verdict(rule, Dense(G * scale, block=17))
        assert torch.equal(first.accepted, again.accepted), "the decision depends on the blocks"


def _check_dtypes(rule: Rule) -> None:
    """output has the input's dtype, device and kind"""
    G = random_stack(rule)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            stack = G.to(device, dtype)
            output = verdict(rule, stack).output
            assert (output.dtype, output.device.type) == (dtype, device), f"{dtype} on {device} gave {output.dtype}"
            assert bool(output.isfinite().all()), f"output is not finite in {dtype}"
    for kind in (np.float32, np.float64):
        array = output_of(rule, G.numpy().astype(kind))
        assert isinstance(array, np.ndarray), f"an array gave {type(array).__name__}"
        assert array.dtype == kind, f"{kind} gave {array.dtype}"


def _check_no_byzantine(rule: Rule) -> None:
    """f = 0 works"""
    if hasattr(rule, "f"):
        harmless = without_byzantine(rule)
        assert output_of(harmless, random_stack(harmless)).shape == (COLUMNS,)


CHECKS: tuple[Callable[[Rule], None], ...] = (
    _check_pure,  # first: one that writes into its input makes the others fail for reasons that tell less
    _check_memory,
    _check_bound,
    _check_beyond,
    _check_selects,
    _check_weights,
    _check_blocks,
    _check_passes,
    _check_resume,
    _check_nonfinite,
    _check_huge,
    _check_degenerate,
    _check_ties,
    _check_dtypes,
    _check_no_byzantine,
    *hostile.CHECKS,
    *aliasing.CHECKS,
)
"""What every rule is tried by, in this order."""
