"""`rule`: a plain function of the rows, (n, d) to (d,), as a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, overload

import numpy as np
import torch
from torch import Tensor

from ..failures import ContractError, FunctionError, MendableError, place_in, tamed
from ..registry.bounds import Count
from ..registry.component import Component
from ..registry.functions import Function, FunctionComponent, takes_functions
from ..registry.naming import article
from ..registry.traits import Bound, Traits
from ..stack import Single, Updates, materialise, whole_rows
from ..stack.kernels import only_row
from .context import Context
from .neutral import drawing
from .plan import Plan
from .repeated import warn_unlike
from .rule import Rule
from .state import State


@takes_functions
@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionRule(FunctionComponent, Rule):
    """What `fedward.rule` makes of a function: it decides by no statistics, and is handed all rows at once.

    Args:
        function: from the finite rows, (n, d), to one row, (d,).
        arguments: what else it is told, by name.
        numpy: whether it is called with an array, not with a tensor.
        minimum: the fewest rows that it works with; of one that is told f, f + 1 at least.
    """

    stacks: ClassVar[tuple[str, ...]] = ("the rows",)
    # Nothing is known of a function: not even that the order of clients is nothing to it.
    declared: ClassVar[Traits] = Traits(in_memory=True, judges=False, properties=frozenset())

    minimum: Count = 1

    def traits(self) -> Traits:
        # A function that is told of f byzantine rows has an honest one at least.
        f = dict(self.arguments).get("f")
        told = f + 1 if isinstance(f, int) and not isinstance(f, bool) else 0
        return replace(self.declared, bound=Bound(0, max(self.minimum, told)))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        made = called(self, {"G": updates}, RowDue(updates.d), context)
        return Plan(Single(updates, updates.share.part(made)), kernel=only_row)


@overload
def rule(function: Function, /, *, numpy: bool = ..., minimum: int = ...) -> FunctionRule: ...
@overload
def rule(*, numpy: bool = ..., minimum: int = ...) -> Callable[[Function], FunctionRule]: ...
def rule(
    function: Function | None = None, /, *, numpy: bool = False, minimum: int = 1
) -> FunctionRule | Callable[[Function], FunctionRule]:
    """A rule of a plain function: all rows in, (n, d), the aggregate out, (d,).

    ``fw.rule(lambda G: G.median(0).values)``; or as a decorator, ``@fw.rule`` or ``@fw.rule(minimum=3)``, above a
    function whose name then is the rule's. It is used wherever a rule is, in mixers' chains, in a simulation, under
    attack, in Flower, and by its import path on the command line, ``--rule my.module:trim``. Rows with NaN or Inf
    never reach it. Arguments after the first are parameters of the rule: bind them,
    ``fw.rule(functools.partial(trim, f=2))``, or give them in text, ``my.module:trim:f=2``.

    It is handed a copy of the whole stack, at least in float32, and says nothing of single clients: those whose rows it
    was given are "not-judged", and shares of who was accepted are not known. Where rows do not fit into memory, or
    clients are to be judged, write a `Rule`.
    It is to remember nothing. What it draws from the global generators of PyTorch, NumPy and `random` follows from the
    seed and the round, so that it returns the same for the same rows; these generators are as before afterwards. In its
    first round in a process it is asked for the same rows twice, with others in between, and a
    `fedward.core.FunctionWarning` says where it returned something else.

    Args:
        function: from a tensor, (n, d), to one of (d,), on its device, floating point and finite. An array will do.
        numpy: whether it is called with a NumPy array (of rows on a GPU, a copy), and not with a tensor.
        minimum: the fewest rows that it works with.

    Raises:
        TypeError: this is no function, or it must be told more than the rows.
        ContractError: when it is used: what it returns is no row, or it wrote to the rows that it was given.
        FunctionError: when it is used: it raised an error, or what it returns is not finite.

    Example:
        >>> import torch
        >>> import fedward as fw
        >>> @fw.rule
        ... def midpoint(G):
        ...     return (G.amin(0) + G.amax(0)) / 2
        >>> midpoint(torch.tensor([[0.0, 1.0], [1.0, 1.0], [4.0, 2.0]]))
        tensor([2.0000, 1.5000])
    """
    if function is None:
        return lambda function: FunctionRule.of(function, numpy=numpy, minimum=minimum)
    return FunctionRule.of(function, numpy=numpy, minimum=minimum)


class Due(ABC):
    """What a function has to make of the rows."""

    words: str
    """In a message, after the kind of the component."""
    shapes: tuple[tuple[int, ...], ...]
    overflow: str
    """The remedy where what it returns is not finite."""

    @abstractmethod
    def meant(self, made: Tensor, given: Mapping[str, Tensor]) -> str:
        """The remedy for a tensor of another shape, made of these rows."""


class RowDue(Due):
    """One row, of a rule."""

    overflow = "rows are finite, but may be huge or all the same: look for what overflows, or divides by zero"

    def __init__(self, d: int) -> None:
        self.words = f"makes one row, ({d},)"
        self.shapes = ((d,),)

    def meant(self, made: Tensor, given: Mapping[str, Tensor]) -> str:
        n, d = given["G"].shape
        if made.ndim == 0:
            return "name the dimension of the clients, such as G.mean(0) or np.mean(G, axis=0)"
        if tuple(made.shape) in ((1, d), (d, 1)):
            return "return it with .reshape(-1)"
        if tuple(made.shape) == (n, d):
            return "these are still rows of clients: make one of them, such as with .mean(0)"
        if tuple(made.shape) == (n,):
            return "if these are weights of the clients, return weights @ G"
        return "return as many numbers as G has columns"


def called(component: FunctionComponent, stacks: Mapping[str, Updates], due: Due, context: Context) -> Tensor:
    """What a component's function returns for stacks of rows, of which it is handed copies.

    Args:
        component: whose function it is.
        stacks: what it is given, by the names of messages.
        due: what it is to return.
        context: that what it draws from global generators follows from.

    Raises:
        ContractError: it returned something else, or wrote to what it was given.
        FunctionError: it raised an error, or what it returned is not finite.
    """
    given = {name: _copy(updates) for name, updates in stacks.items()}
    sent_as = next(iter(stacks.values())).dtype
    call = _Call(component=component, given=given, due=due)
    seed = context.draw_seed("function")

    def ask() -> Tensor:
        return call.made(seed, sent_as)

    made = ask()
    warn_unlike(component, given, made, ask)
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class _Call:
    """A call of a function, and what to say of it."""

    component: FunctionComponent
    given: Mapping[str, Tensor]
    due: Due

    def told(self, what: str, remedy: str) -> str:
        """What the function did, what it was to do instead, and how."""
        dtype = _dtype(next(iter(self.given.values())))
        form = "array" if self.component.numpy else "tensor"
        rows = " and ".join(f"{name} {_shape(rows)}" for name, rows in self.given.items())
        forms = f"{dtype} {form}s" if len(self.given) > 1 else f"a {dtype} {form}"
        due = f"{article(self.component.kind)} {self.due.words}, of {rows}, {forms}"
        return f"the function {self.component.spoken} {what}, where {due}" + (f": {remedy}" if remedy else "")

    def wrong(self, what: str, remedy: str) -> ContractError:
        return ContractError(self.told(what, remedy))

    def made(self, seed: int, sent_as: torch.dtype) -> Tensor:
        """What it makes of the rows: what is due, and finite in the dtype that clients send.

        Raises:
            ContractError, FunctionError: as `called`.
        """
        given = self.given
        first = next(iter(given.values()))
        written = {name: _version(rows) for name, rows in given.items()}
        with drawing(seed, first.device):
            returned = self.returned()
        for name, rows in given.items():
            if _version(rows) != written[name]:
                raise self.wrong(f"wrote to {name}, which is not its own", f"begin with {name} = {name}.clone()")
        made = self.tensor(returned)
        if tuple(made.shape) not in self.due.shapes:
            raise self.wrong(f"returned shape {_shape(made)}", self.due.meant(made, given))
        if not made.is_floating_point():
            remedy = f"convert them, with .to({next(iter(given))}.dtype)"
            raise self.wrong(f"returned numbers of {_dtype(made)}", remedy)
        if self.component.numpy or not isinstance(returned, Tensor):
            made = made.to(first.device)
        elif made.device != first.device:
            raise self.wrong(
                f"returned a tensor on {made.device}, and the rows are on {first.device}",
                f"make tensors with device={next(iter(given))}.device",
            )
        odd = int((~made.to(sent_as).isfinite()).sum())
        if odd:
            what = f"returned NaN or Inf in {odd:,} of {made.numel():,} entries"
            raise FunctionError(self.told(what, self.due.overflow))
        # A view of the rows would keep all of them in memory.
        return made.detach().clone()

    def returned(self) -> Any:
        """What the function returns.

        Raises:
            FunctionError: it raised an error that does not say itself what to do.
        """
        rows = [_read_only(rows) if self.component.numpy else rows for rows in self.given.values()]
        try:
            return self.component.function(*rows, **dict(self.component.arguments))
        except MendableError:
            raise
        except Exception as error:
            what = f"raised {type(error).__name__}, {tamed(' '.join(str(error).split()))!r}"
            where = place_in(error)
            raise FunctionError(self.told(f"{what} ({where})" if where else what, self._mended(error))) from error

    def _mended(self, error: Exception) -> str:
        """The remedy for an error of the function's, where it may be one of what it was given."""
        if self.component.numpy and "read-only" in str(error):
            return "the rows are not its own to write to, work on a .copy()"
        if not self.component.numpy and isinstance(error, AttributeError | TypeError):
            return f"if it is written for NumPy arrays, say so, fedward.{self.component.kind}(..., numpy=True)"
        return ""

    def tensor(self, returned: Any) -> Tensor:
        """What the function returned, as a tensor.

        Raises:
            ContractError: it is none, and no array.
        """
        if isinstance(returned, np.ndarray | np.generic):
            try:
                return torch.from_numpy(np.array(returned))
            except TypeError:
                raise self.wrong(f"returned an array of {returned.dtype}", "convert it, with .astype(float)") from None
        if not isinstance(returned, Tensor):
            raise self.wrong(f"returned {_what(returned)}", _instead(returned))
        if returned.layout != torch.strided:
            raise self.wrong(f"returned a tensor in {returned.layout}", "return its .to_dense()")
        return returned


def _copy(updates: Updates) -> Tensor:
    """All rows, with all columns, at least in float32: (n, d)."""
    rows = whole_rows(updates)
    dtype = torch.promote_types(rows.dtype, torch.float32)
    return materialise(rows, torch.empty(rows.n, rows.d, dtype=dtype, device=rows.device))


def _version(rows: Tensor) -> int:
    """How often it was written to, as PyTorch counts; it does not in inference mode."""
    return 0 if rows.is_inference() else rows._version


def _read_only(rows: Tensor) -> np.ndarray:
    array = rows.cpu().numpy()
    array.flags.writeable = False
    return array


def _what(returned: object) -> str:
    """Something that is no tensor, in a message."""
    if returned is None:
        return "None"
    if isinstance(returned, Component):
        return article(returned.kind)
    if isinstance(returned, int | float):
        return f"the number {returned!r}"
    if isinstance(returned, tuple):
        return "a tuple"
    return f"a {type(returned).__name__}"


def _instead(returned: object) -> str:
    """What to return instead."""
    if returned is None:
        return "every way through it must end in return"
    if isinstance(returned, Component):
        return "return what that makes of the rows"
    if isinstance(returned, tuple) and hasattr(returned, "values"):
        return "return its .values"
    if isinstance(returned, tuple | list):
        return "return one tensor, such as torch.stack(...) of a list or the first of several"
    return "return a tensor or an array"


def _shape(rows: Tensor) -> str:
    return str(tuple(rows.shape))


def _dtype(rows: Tensor) -> str:
    return str(rows.dtype).removeprefix("torch.")
