"""`attack`: a plain function of the honest and the byzantine clients' rows as an attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, overload

from torch import Tensor

from ..core.function import Due, called
from ..registry.functions import Function, FunctionComponent, takes_functions
from ..stack import Dense, Updates
from .base import Attack, View


@takes_functions
@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionAttack(FunctionComponent, Attack):
    """What `fedward.attack` makes of a function.

    Args:
        function: from the honest rows, (h, d), and what b byzantine clients would honestly send, (b, d), to what they
            send, (b, d), or (d,) for all of them.
        arguments: what else it is told, by name.
        numpy: whether it is called with arrays, not with tensors.
    """

    stacks: ClassVar[tuple[str, ...]] = ("the honest rows", "the byzantine clients' own")

    def forge(self, view: View) -> Updates:
        b, d = view.own.n, view.own.d
        made = called(self, {"honest": view.honest, "own": view.own}, RowsDue(b, d), view.context)
        return Dense(made.expand(b, d))


class RowsDue(Due):
    """Rows of byzantine clients, of an attack."""

    overflow = "fedward.attacks.NonFinite sends that on purpose"

    def __init__(self, b: int, d: int) -> None:
        self.words = f"makes a row for each byzantine client, ({b}, {d}), or one that all of them send, ({d},)"
        self.shapes = ((b, d), (d,))

    def meant(self, made: Tensor, given: Mapping[str, Tensor]) -> str:
        b, d = given["own"].shape
        if tuple(made.shape) == (1, d):
            return "return its [0], which is sent by all of them"
        if made.shape == given["honest"].shape:
            return "honest rows are not forged: return as many as own has, or one, such as with .mean(0)"
        return f"return {b} rows, or one, of as many numbers as honest has columns"


@overload
def attack(function: Function, /, *, numpy: bool = ...) -> FunctionAttack: ...
@overload
def attack(*, numpy: bool = ...) -> Callable[[Function], FunctionAttack]: ...
def attack(
    function: Function | None = None, /, *, numpy: bool = False
) -> FunctionAttack | Callable[[Function], FunctionAttack]:
    """An attack of a plain function: honest rows (h, d) and own rows (b, d) in, forged rows (b, d) out, or one (d,).

    ``fw.attack(lambda honest, own: -honest.mean(0))``; or as a decorator, ``@fw.attack``, above a function whose name
    then is the attack's. It is used wherever an attack is, in a simulation, by the red team, and by its import path on
    the command line, ``--attack my.module:push``. Own rows are what the byzantine clients would honestly send; one row
    is sent by all of them. Arguments after the first two are parameters of the attack: bind them,
    ``fw.attack(functools.partial(push, z=2.0))``, or give them in text, ``my.module:push:z=2.0``.

    It is handed copies of all rows, at least in float32. It is to return the same for the same rows, so that it draws
    nothing at random and remembers nothing, which is tried once, as of a rule; an attack that does, that poisons data,
    lies in words or asks the rule is an `Attack`.

    Args:
        function: as above; what it returns is on the device of the rows, floating point and finite. An array will do.
        numpy: whether it is called with NumPy arrays, and not with tensors.

    Raises:
        TypeError: this is no function, or it must be told more than the rows.
        ContractError: when it is used: what it returns are no such rows, or it wrote to those that it was given.
        FunctionError: when it is used: it raised an error, or what it returns is not finite (`NonFinite` sends that).

    Example:
        >>> import torch
        >>> import fedward as fw
        >>> @fw.attack
        ... def backwards(honest, own):
        ...     return -2 * honest.mean(0)
        >>> backwards(torch.ones(3, 2), torch.ones(2, 2))
        tensor([[-2., -2.],
                [-2., -2.]])
    """
    if function is None:
        return lambda function: FunctionAttack.of(function, numpy=numpy)
    return FunctionAttack.of(function, numpy=numpy)
