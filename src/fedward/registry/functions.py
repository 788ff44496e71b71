"""Plain functions as components: `FunctionComponent`; and components that are made already, by import path: `Ready`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar, Self

from .component import Component
from .naming import article

Function = Callable[..., Any]
"""A plain function of stacks of rows, whatever it returns."""


@dataclass(frozen=True, kw_only=True, repr=False)
class FunctionComponent(Component):
    """A component whose work a plain function does, which knows nothing of fedward.

    Its name is where the function stands: a component of a function in a module is found, written and pickled by that,
    whether the name there is the function's or, with a decorator above it, the component's.

    Args:
        function: what is called.
        arguments: what it is told besides the rows, by name.
        numpy: whether it is called with NumPy arrays, not with tensors.
    """

    stacks: ClassVar[tuple[str, ...]]
    """What the stacks of rows are called that the function gets, in a message."""

    function: Function
    arguments: tuple[tuple[str, Any], ...] = ()
    numpy: bool = False

    @classmethod
    def of(cls, function: object, **options: Any) -> Self:
        """The component of a function; what a `functools.partial` has bound by name are its arguments.

        Raises:
            TypeError: this is no function, or it must be told more than the rows.
        """
        if isinstance(function, Component):
            raise TypeError(f"{function!r} is {article(function.kind)} already: use it as it is")
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"fedward.{cls.kind} makes {article(cls.kind)} of a function, got {function!r}")
        made = cls._unchecked(function, **options)
        _check_arguments(made)
        return made

    @classmethod
    def _unchecked(cls, function: Function, **options: Any) -> Self:
        arguments: Mapping[str, Any] = {}
        while isinstance(function, partial) and not function.args:
            arguments = {**function.keywords, **arguments}
            function = function.func
        return cls(function=function, **options).told(arguments)

    def told(self, arguments: Mapping[str, Any]) -> Self:
        """The same with these arguments besides, or in the place of, those that it has."""
        return replace(self, arguments=tuple(sorted({**dict(self.arguments), **arguments}.items())))

    @property
    def spoken(self) -> str:
        """The function's name, in a message: with its line where others have the same name."""
        return _spoken(self.function)

    def __repr__(self) -> str:
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("function", "arguments")}
        defaults = {f.name: f.default for f in fields(self)}
        options = {name: value for name, value in chosen.items() if value != defaults[name]}
        shown = [self.spoken, *(f"{name}={value!r}" for name, value in {**dict(self.arguments), **options}.items())]
        return f"{self.kind}({', '.join(shown)})"

    def named(self) -> tuple[str, Mapping[str, Any]] | None:
        # In a program that is run, __main__ is another module in every process.
        place = self._place()
        if place is None or place[0] == "__main__":
            return None
        found = _found(*place)
        there = found if isinstance(found, FunctionComponent) else type(self)(function=self.function)
        return (".".join(place), dict(self.arguments)) if there.told(dict(self.arguments)) == self else None

    def _place(self) -> tuple[str, str] | None:
        """The module and the name in it under which this function, or a component of it, is found; None if nowhere."""
        module = getattr(self.function, "__module__", None)
        name = getattr(self.function, "__qualname__", None)
        if not module or not name or "<" in name:
            return None
        found = _found(module, name)
        mine = found.function if isinstance(found, type(self)) else found
        return (module, name) if mine is self.function else None

    def __reduce__(self) -> tuple[Any, ...]:
        place = self._place()
        if place is None or not isinstance(found := _found(*place), FunctionComponent):
            # A dataclass of a function that pickle finds by its name, or says that it cannot.
            return (_made, (type(self), {f.name: getattr(self, f.name) for f in fields(self)}))
        # Under the function's name stands a component of it: the function itself can no longer be found.
        changed = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "function"}
        same = {name for name, value in changed.items() if getattr(found, name) == value}
        return (_found_again, (*place, {name: value for name, value in changed.items() if name not in same}))


class Ready:
    """A component that is made already, in the place of the class that makes one: what an import path may lead to.

    Of a function, arguments that it takes besides the rows are those of the component.
    """

    def __init__(self, component: Component) -> None:
        self.component = component
        self.kind = component.kind
        self.declared = component.traits()
        function = component.function if isinstance(component, FunctionComponent) else component
        self.__module__ = getattr(function, "__module__", None) or type(component).__module__
        self.__qualname__ = getattr(function, "__qualname__", type(component).__qualname__)
        self.__doc__ = inspect.getdoc(function)
        self.__signature__ = inspect.Signature(_arguments(component))

    def __call__(self, **arguments: Any) -> Component:
        if arguments and isinstance(self.component, FunctionComponent):
            return self.component.told(arguments)
        return self.component


_KINDS: dict[str, type[FunctionComponent]] = {}


def takes_functions(cls: type[FunctionComponent]) -> type[FunctionComponent]:
    """Decorator of a class: where a component of its kind is due, an import path may lead to a function."""
    _KINDS[cls.kind] = cls
    return cls


def ready(found: object, kind: str | None) -> Ready | None:
    """A component, or a function where a component of a kind is due, as what makes it; None for anything else.

    Raises:
        TypeError: a function of such a kind that cannot be one.
    """
    if isinstance(found, Component):
        return Ready(found)
    if kind in _KINDS and (isinstance(found, partial) or inspect.isroutine(found)):
        return Ready(_KINDS[kind]._unchecked(found))  # what it must still be told may stand in the text
    return None


def _check_arguments(component: FunctionComponent) -> None:
    """Raise TypeError where a function must be told more than it is, or cannot be given as many stacks."""
    missing = [p.name for p in _arguments(component) if p.default is p.empty]
    if missing:
        kind, name = component.kind, _short(component)
        bound = ", ".join(f"{argument}=..." for argument in missing)
        raise TypeError(
            f"{name} must be told {', '.join(missing)} besides {' and '.join(component.stacks)}: bind it, "
            f"fedward.{kind}(functools.partial({name}, {bound})), or give it a default"
        )


def _arguments(component: Component) -> list[inspect.Parameter]:
    """The arguments of a component that is made already: those of its function after the rows."""
    if not isinstance(component, FunctionComponent):
        return []
    try:
        signature = inspect.signature(partial(component.function, **dict(component.arguments)))
    except ValueError:  # some that are written in C do not say
        return []
    return list(_after(component, signature))


def _after(component: FunctionComponent, signature: inspect.Signature) -> Iterator[inspect.Parameter]:
    left = len(component.stacks)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            left = 0
        elif left and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if parameter.default is not parameter.empty:
                due = component.stacks[-left]
                raise TypeError(f"{parameter} is where {_short(component)} would get {due}, and it has a default")
            left -= 1
        elif parameter.kind is not parameter.VAR_KEYWORD:
            yield parameter.replace(kind=parameter.KEYWORD_ONLY)
    if left:
        raise TypeError(
            f"{_short(component)}{signature} takes too few arguments: as {article(component.kind)} it is called with "
            f"{' and '.join(component.stacks)}"
        )


def _spoken(function: Function) -> str:
    """A function's name, which is the same in every process: an address is not."""
    if isinstance(function, partial):
        bound = [repr(value) for value in function.args]
        bound += [f"{name}={value!r}" for name, value in function.keywords.items()]
        return f"{_spoken(function.func)} of {', '.join(bound)}"
    name = getattr(function, "__qualname__", None)
    if name is None and "__repr__" in {key for cls in type(function).__mro__[:-1] for key in vars(cls)}:
        return repr(function)
    name = name or type(function).__qualname__
    module = getattr(function, "__module__", None)
    code = getattr(function, "__code__", None)
    line = f" (line {code.co_firstlineno})" if code is not None and "<" in name else ""
    return f"{module}.{name}{line}" if module else f"{name}{line}"


def _short(component: FunctionComponent) -> str:
    return str(getattr(component.function, "__name__", component.spoken))


def _found(module: str, name: str) -> Any:
    """What stands in a module that is loaded, by its qualified name; None for nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _made(cls: type[FunctionComponent], values: Mapping[str, Any]) -> FunctionComponent:
    return cls(**values)


def _found_again(module: str, name: str, changed: Mapping[str, Any]) -> FunctionComponent:
    __import__(module)
    found: FunctionComponent = _found(module, name)
    return replace(found, **changed) if changed else found
