"""Conformance suite: what every rule must do, fedward's own and anyone's.

``fedward.testing.check_rule(MyRule(f=2))`` raises an AssertionError that names the check and what went wrong, and
returns None if the rule conforms. It needs nothing but PyTorch, and takes about a second.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from .aggregator import Aggregator, Result
from .attacks import Attack, View
from .rule import BoundError, Context, Reason, Rule, State, apply
from .stack import Dense, Layers, materialise

Oracle = Callable[[np.ndarray], np.ndarray]

_D = 203  # not a multiple of any block size tried
_ROUNDS = 5  # enough to leave a warm-up behind


def check_rule(rule: Rule, *, oracle: Oracle | None = None) -> None:
    """Put a rule through the whole suite.

    Args:
        rule: the rule, with its parameters.
        oracle: a naive reference, (n, d) float64 array in, (d,) out, to compare first-round outputs with.

    Raises:
        AssertionError: a check failed.
    """
    if oracle is not None:
        for name, G in example_stacks(rule).items():
            with _Named(f"equals its oracle on a {name} stack"):
                _close(rule(G), torch.from_numpy(oracle(G.numpy())), rtol=1e-6)
    for check in CHECKS:
        with _Named(check.__doc__ or check.__name__):
            check(rule)
    for claim in sorted(rule.properties):
        assert claim in PROPERTIES, f"unknown property {claim!r}; valid: {', '.join(PROPERTIES)}"
        with _Named(f"claimed property {claim}"):
            PROPERTIES[claim](rule, random_stack(rule))


def fewest(rule: Rule) -> int:
    """The smallest n that the rule accepts."""
    for n in range(1, 1000):
        try:
            rule.check(n)
        except BoundError:
            continue
        return n
    raise AssertionError(f"{rule!r} accepts no n below 1000")


def random_stack(rule: Rule, seed: int = 0, extra: int = 5, d: int = _D) -> Tensor:
    """Rows around a common direction: (fewest + extra, d) float64."""
    generator = torch.Generator().manual_seed(seed)
    n = fewest(rule) + extra
    common = torch.randn(d, generator=generator, dtype=torch.float64)
    return common + 0.8 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def example_stacks(rule: Rule) -> dict[str, Tensor]:
    """Stacks of different kinds, by name: random, heavy-tailed, colluding, sparse and tiny."""
    G = random_stack(rule)
    f = max(getattr(rule, "f", 1), 1)
    heavy = random_stack(rule, seed=1)
    heavy[:f] = 10 * torch.tan(torch.linspace(-1.55, 1.55, _D, dtype=torch.float64))  # Cauchy quantiles
    heavy[: f // 2] *= -3
    colluding = random_stack(rule, seed=2)
    colluding[:f] = -2 * colluding.mean(0)
    sparse = random_stack(rule, seed=3)
    sparse[sparse.abs() < 0.4] = 0
    return {
        "random": G,
        "heavy-tailed": heavy,
        "colluding": colluding,
        "sparse": sparse,
        "tiny": random_stack(rule, seed=4, extra=0, d=7),
    }


# --- checks every rule must pass ----------------------------------------------------------------------------


def _check_weights(rule: Rule) -> None:
    """weights @ G equals the output"""
    for G in example_stacks(rule).values():
        result = Aggregator(rule)(G)
        assert result.accepted.shape == (len(G),), f"accepted has shape {tuple(result.accepted.shape)}"
        assert len(result.reasons) == len(G), f"{len(result.reasons)} reasons for {len(G)} rows"
        for name, score in result.scores.items():
            assert score.shape == (len(G),), f"score {name} has shape {tuple(score.shape)}"
        if result.weights is not None:
            assert torch.equal(result.accepted, result.weights > 0), "accepted is not weight > 0"
            _close(result.weights @ G, result.output)


def _check_blocks(rule: Rule) -> None:
    """block size and layer split do not change the decision"""
    G = random_stack(rule)
    whole = Aggregator(rule)(Dense(G))
    pieces = torch.split(G, [1, 90, 12, _D - 103], dim=1)
    layered = Layers([[piece[i] for piece in pieces] for i in range(len(G))], block=50)
    for other in (Dense(G, block=1), Dense(G, block=64), layered):
        _same(whole, Aggregator(rule)(other))


def _check_pure(rule: Rule) -> None:
    """decide is pure, and the input is not modified"""
    G = random_stack(rule)
    before = G.clone()
    context = Context(round=1, seed=3)
    first = rule.decide(Dense(G), {}, context)
    second = rule.decide(Dense(G), {}, context)
    _close(first.execute(), second.execute(), rtol=0)
    state: State = {}
    for round in range(_ROUNDS):
        context, saved = Context(round=round), {k: v.clone() for k, v in state.items()}
        outcome = apply(rule, Dense(G), state, context)
        assert state.keys() == saved.keys(), "the state was modified"
        assert all(torch.equal(state[k], v) for k, v in saved.items()), "the state was modified"
        state = outcome.state
    assert torch.equal(G, before), "the input was modified"


def _check_passes(rule: Rule) -> None:
    """reads the data no more often than it declares"""
    state: State = {}
    for round in range(_ROUNDS):
        updates = Dense(random_stack(rule, seed=round), block=64)
        state = apply(rule, updates, state, Context(round=round)).state
        passes = updates.columns_read / updates.d
        assert passes <= rule.passes, f"{passes:g} passes in round {round}, declared: {rule.passes}"


def _check_resume(rule: Rule) -> None:
    """resuming from a saved state is bitwise equal"""
    stacks = [random_stack(rule, seed=s) for s in range(2 * _ROUNDS)]
    straight, resumed = Aggregator(rule, seed=1), Aggregator(rule, seed=1)
    for G in stacks[:_ROUNDS]:
        straight(G)
    buffer = io.BytesIO()
    torch.save(straight.state_dict(), buffer)
    buffer.seek(0)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for G in stacks[_ROUNDS:]:
        _close(straight(G).output, resumed(G).output, rtol=0)


def _check_nonfinite(rule: Rule) -> None:
    """rows with NaN or Inf are left out, as if they had not been sent"""
    G = random_stack(rule)
    for bad in (torch.nan, torch.inf, -torch.inf):
        hostile = torch.cat([G[:2], G[:1], G[2:], G[:1]])
        hostile[2, 5 % G.shape[1]] = bad
        hostile[-1] = bad
        result = Aggregator(rule)(hostile)
        for row in (2, len(hostile) - 1):
            assert result.reasons[row] is Reason.NONFINITE, f"a row with {bad} got reason {result.reasons[row]}"
            assert not result.accepted[row], f"a row with {bad} was accepted"
        clean = Aggregator(rule)(G)
        _close(result.output, clean.output, rtol=1e-9)
    with _Raises(BoundError):
        Aggregator(rule)(torch.full_like(G, torch.nan))
    if fewest(rule) > 1:
        few = random_stack(rule, extra=0)
        few[0] = torch.nan
        with _Raises(BoundError):
            Aggregator(rule)(few)


def _check_huge(rule: Rule) -> None:
    """rows of 1e30 give a finite output"""
    for dtype in (torch.float32, torch.float64):
        G = random_stack(rule).to(dtype)
        for size in (1e30, -1e30):
            hostile = G.clone()
            hostile[0] = size
            output = Aggregator(rule)(hostile).output
            assert bool(output.isfinite().all()), f"output is not finite with a {dtype} row of {size}"


def _check_bound(rule: Rule) -> None:
    """works at its bound on n and says why not below"""
    n = fewest(rule)
    G = random_stack(rule, extra=0)
    assert rule(G).shape == (G.shape[1],)
    if n > 1:
        with _Raises(BoundError) as caught:
            rule(G[: n - 1])
        for needed in (str(n), str(n - 1)):
            assert needed in str(caught.error), f"the error does not name {needed}: {caught.error}"


def _check_degenerate(rule: Rule) -> None:
    """identical rows, zero rows and a single column are no trouble"""
    G = random_stack(rule)
    for stack in (G[:1].expand(len(G), -1), torch.zeros_like(G), G[:, :1]):
        result = Aggregator(rule)(stack)
        assert bool(result.output.isfinite().all()), "output is not finite"
        if result.weights is not None:
            _close(result.weights @ stack, result.output)
    G[0] = 0
    assert bool(rule(G).isfinite().all()), "output is not finite with one zero row"


def _check_ties(rule: Rule) -> None:
    """colluders that send one row are all alike: which of them is chosen does not depend on rounding"""
    G = random_stack(rule, seed=6).float()
    f = max(getattr(rule, "f", 0), 2)
    G[-f:] = G[-1].clone()
    first = Aggregator(rule)(G)
    for scale in (1.0, 1024.0):  # exact in binary: only rounding of sums over other blocks can differ
        again = Aggregator(rule)(Dense(G * scale, block=17))
        assert torch.equal(first.accepted, again.accepted), "the decision depends on the blocks"


def _check_dtypes(rule: Rule) -> None:
    """output has the input's dtype, device and kind"""
    G = random_stack(rule)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            stack = G.to(device, dtype)
            output = Aggregator(rule)(stack).output
            assert (output.dtype, output.device.type) == (dtype, device), f"{dtype} on {device} gave {output.dtype}"
            assert bool(output.isfinite().all()), f"output is not finite in {dtype}"
    for kind in (np.float32, np.float64):
        array = rule(G.numpy().astype(kind))
        assert isinstance(array, np.ndarray), f"an array gave {type(array).__name__}"
        assert array.dtype == kind, f"{kind} gave {array.dtype}"


def _check_no_byzantine(rule: Rule) -> None:
    """f = 0 works"""
    if "f" in {f.name for f in fields(rule)}:  # type: ignore[arg-type]  # rules are dataclasses
        harmless: Rule = replace(rule, f=0)  # type: ignore[type-var]
        assert harmless(random_stack(harmless)).shape == (_D,)


CHECKS: tuple[Callable[[Rule], None], ...] = (
    _check_bound,
    _check_weights,
    _check_blocks,
    _check_pure,
    _check_passes,
    _check_resume,
    _check_nonfinite,
    _check_huge,
    _check_degenerate,
    _check_ties,
    _check_dtypes,
    _check_no_byzantine,
)


# --- properties that a rule may claim -----------------------------------------------------------------------


def _permutation(rule: Rule, G: Tensor) -> None:
    order = torch.randperm(len(G), generator=torch.Generator().manual_seed(0))
    ids = [f"client {i}" for i in range(len(G))]
    one, other = Aggregator(rule), Aggregator(rule)
    for _ in range(_ROUNDS):
        a, b = one(G, ids=ids), other(G[order], ids=[ids[i] for i in order])
        _close(a.output, b.output)
        assert torch.equal(a.accepted[order], b.accepted), "other clients are accepted in another order"


def _translation(rule: Rule, G: Tensor) -> None:
    shift = torch.linspace(-3, 3, G.shape[1], dtype=G.dtype)
    _close(rule(G + shift), rule(G) + shift)


def _scale(rule: Rule, G: Tensor) -> None:
    for factor in (4.0, 1 / 32, 3.7):
        _close(rule(factor * G), factor * rule(G))


def _columns(rule: Rule, G: Tensor) -> None:
    order = torch.randperm(G.shape[1], generator=torch.Generator().manual_seed(0))
    _close(rule(G[:, order]), rule(G)[order])


def _rotation(rule: Rule, G: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(G.shape[1], G.shape[1], generator=generator, dtype=G.dtype)).Q
    _close(rule(G @ Q), rule(G) @ Q)


def _unanimity(rule: Rule, G: Tensor) -> None:
    _close(rule(G[:1].expand(len(G), -1)), G[0])


def _mean(rule: Rule, G: Tensor) -> None:
    _close(replace(rule, f=0)(G) if hasattr(rule, "f") else rule(G), G.mean(0))  # type: ignore[type-var]


def _box(rule: Rule, G: Tensor) -> None:
    output, slack = rule(G), 1e-9 * G.abs().amax(0)
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
}


# --- attacks ------------------------------------------------------------------------------------------------


def check_attack(attack: Attack) -> None:
    """Put an attack through its suite: shape, dtype, determinism, inputs left alone, block size irrelevant.

    Raises:
        AssertionError: a check failed.
    """
    generator = torch.Generator().manual_seed(0)
    for h, m, d in ((13, 4, _D), (5, 1, 7), (1, 1, 1)):
        honest = 1 + torch.randn(h, d, generator=generator, dtype=torch.float64)
        own = 1 + torch.randn(m, d, generator=generator, dtype=torch.float64)
        before = honest.clone(), own.clone()
        context = Context(round=2, seed=5)
        forged = attack(honest, own, context=context)
        assert forged.shape == (m, d), f"forged rows have shape {tuple(forged.shape)}, expected {(m, d)}"
        assert torch.equal(forged, attack(honest, own, context=context)), "two calls with one seed differ"
        assert torch.equal(honest, before[0]), "honest rows were modified"
        assert torch.equal(own, before[1]), "own rows were modified"
        lazily = attack.forge(View(Dense(honest, block=3), Dense(own, block=3), context))
        _close(materialise(lazily), forged)
        assert attack(honest.float(), own.float()).dtype == torch.float32, "float32 rows gave another dtype"
        assert isinstance(attack(honest.numpy(), own.numpy()), np.ndarray), "arrays gave something else"


# --- helpers ------------------------------------------------------------------------------------------------


def _same(a: Result[Tensor], b: Result[Tensor]) -> None:
    assert torch.equal(a.accepted, b.accepted), "other clients are accepted"
    assert a.reasons == b.reasons, "other reasons are given"
    if a.weights is not None and b.weights is not None:
        _close(a.weights, b.weights)
    _close(a.output, b.output)


def _close(a: Tensor, b: Tensor, rtol: float = 1e-7) -> None:
    scale = float(b.abs().max()) if b.numel() else 0.0
    worst = float((a.double() - b.double()).abs().max())
    assert worst <= rtol * scale + 1e-300, f"differ by {worst:.3g}, {rtol * scale:.3g} is allowed"


class _Named:
    """Puts the name of the check before the message of an AssertionError."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AssertionError):
            raise AssertionError(f"{self.name}: {error}") from error
        if isinstance(error, Exception):
            raise AssertionError(f"{self.name}: {type(error).__name__}: {error}") from error


class _Raises:
    """Expects an error."""

    error: BaseException

    def __init__(self, expected: type[Exception]) -> None:
        self.expected = expected

    def __enter__(self) -> _Raises:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert error is not None, f"no {self.expected.__name__} was raised"
        if not isinstance(error, self.expected):
            return False
        self.error = error
        return True
