"""Parameters of components, checked against their annotations when a component is made.

One mechanism for rules, mixers, attacks, client algorithms, the server's optimiser and partitions: what the annotation
of a field says is what the field takes. A choice of words is annotated with `typing.Literal`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from math import isnan
from numbers import Integral, Real
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

Variant = Literal["paper", "official"]
"""What a rule does where the authors' code differs from their paper."""


def check_parameters(component: Any) -> None:
    """Hold every parameter of a dataclass against its annotation, and the parameters of components in it as well.

    A bool is no number and a number no bool; whole numbers do where a number is due; NaN is never one. Scalars of
    NumPy are kept as plain numbers, and lists as tuples where a tuple or a sequence is due, so that equal components
    look the same and can be hashed. What a type checker alone can tell (protocols, arguments of functions, names
    that exist only for it) is taken on trust.

    Raises:
        ValueError: names the parameter, what it takes and what it got.
    """
    cls = type(component)
    for name, annotation in types_of(cls).items():  # type: ignore[arg-type]  # classes are hashable
        value = getattr(component, name)
        kept = check_value(cls.__name__, name, value, annotation)
        if kept is not value:
            object.__setattr__(component, name, kept)
    f = getattr(component, "f", 0)
    if isinstance(f, Integral) and f < 0:
        raise ValueError(f"{cls.__name__}: f counts byzantine clients, a whole number of at least 0, got {f!r}")


def check_value(owner: str, name: str, value: Any, annotation: Any) -> Any:
    """The value as it is kept where a type is due, as for `check_parameters`.

    Raises:
        ValueError: names the owner, the parameter, what it takes and what it got.
    """
    try:
        return _fitted(value, annotation)
    except _MisfitError:
        takes, remedy = _words(annotation), _remedy(value, annotation)
        raise ValueError(f"{owner}: {name} is {takes}, got {value!r}{remedy}") from None


@lru_cache(maxsize=1024)
def types_of(cls: type) -> Mapping[str, Any]:
    """The types of a dataclass's parameters, by name; of a class that is none, nothing is known."""
    if not is_dataclass(cls):
        return {}
    return {parameter.name: _annotation(cls, parameter.name) for parameter in fields(cls) if parameter.init}


def _annotation(cls: type, name: str) -> Any:
    """The type that the nearest class gives to a field, with the names of the module that this class is in."""
    base = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
    holder = SimpleNamespace(__annotations__={name: inspect.get_annotations(base)[name]})
    names = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
    try:
        return get_type_hints(holder, globalns=dict(names))[name]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return Any  # a name that is local to a function, or imported for type checkers alone


class _MisfitError(Exception):
    """A value that an annotation does not allow. It never leaves this module."""


def _fitted(value: Any, annotation: Any) -> Any:
    """The value as a parameter of this type keeps it."""
    if isinstance(value, np.generic) and not _is_class(annotation, np.generic):
        value = value.item()
    if isinstance(value, float) and isnan(value):
        raise _MisfitError
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _first_fit(value, inner)
    if origin is Literal:
        _require(any(type(value) is type(word) and value == word for word in inner))
        return value
    if origin is type:
        _require(isinstance(value, type) and (not isinstance(inner[0], type) or issubclass(value, inner[0])))
        return value
    if _is_class(origin, Mapping):
        return _fitted_mapping(value, origin, inner)
    if _is_class(origin, Sequence):
        return _fitted_sequence(value, origin, inner)
    _require(_fits(value, origin or annotation))
    return value


def _first_fit(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        try:
            return _fitted(value, choice)
        except _MisfitError:
            continue
    raise _MisfitError


def _fitted_mapping(value: Any, origin: type, inner: Sequence[Any]) -> Any:
    _require(isinstance(value, origin))
    keys, values = inner or (Any, Any)
    for key, item in value.items():
        _fitted(key, keys)
        _fitted(item, values)
    return value


def _fitted_sequence(value: Any, origin: type, inner: Sequence[Any]) -> Any:
    """A list stays one only where a list is due."""
    _require(isinstance(value, origin) or (origin is tuple and isinstance(value, list)))
    _require(not isinstance(value, str | bytes))
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        _require(len(value) == len(inner))
        types = inner
    else:
        types = (inner[0] if inner else Any,) * len(value)
    items = [_fitted(item, each) for item, each in zip(value, types, strict=True)]
    if all(kept is item for kept, item in zip(items, value, strict=True)) and (
        isinstance(value, tuple) or origin not in (tuple, Sequence)
    ):
        return value
    return items if origin is list else tuple(items)


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a value is of a type that has no parts."""
    if annotation is None or annotation is NoneType:
        return value is None
    if annotation is bool:
        return isinstance(value, bool)
    if annotation in (int, float):
        number = Integral if annotation is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    if not isinstance(annotation, type):
        return True  # Any, type variables
    try:
        fits = isinstance(value, annotation)
    except TypeError:  # a protocol that cannot be asked
        return True
    if fits and _is_component(type(value)):
        check_parameters(value)
    return fits


def _require(fits: bool) -> None:
    if not fits:
        raise _MisfitError


def _is_class(annotation: Any, base: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _is_component(annotation: Any) -> bool:
    """Whether this is a class of rules, mixers, attacks or client algorithms."""
    return isinstance(annotation, type) and isinstance(getattr(annotation, "kind", None), str)


def components_in(annotation: Any) -> tuple[type, ...]:
    """The classes of components that a parameter of this type takes or holds."""
    if _is_component(annotation):
        return (annotation,)
    inner = get_args(annotation) if get_origin(annotation) not in (Literal, type) else ()
    return tuple(dict.fromkeys(cls for part in inner for cls in components_in(part)))


def takes_numbers(annotation: Any) -> bool:
    """Whether a parameter of this type takes any number."""
    return float in _choices(annotation)


def takes_none(annotation: Any) -> bool:
    """Whether a parameter of this type takes None."""
    return NoneType in _choices(annotation)


def takes_several(annotation: Any) -> bool:
    """Whether a parameter of this type takes a list, a tuple or a mapping."""
    origins = [get_origin(choice) for choice in _choices(annotation)]
    return any(_is_class(origin, Sequence) or _is_class(origin, Mapping) for origin in origins)


def _choices(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


# --- what to say --------------------------------------------------------------------------------------------

_PLAIN: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "None",
    None: "None",
    tuple: "a tuple",
    list: "a list",
}


def _words(annotation: Any) -> str:
    """What a parameter of this type takes."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_words(choice) for choice in inner)
    if origin is Literal:
        return repr(inner[0]) if len(inner) == 1 else f"one of {', '.join(map(str, inner))}"
    if origin is type and inner:
        return f"the class of {_words(inner[0])}"
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return f"({', '.join(map(_words, inner))})"
    if _is_class(origin, Mapping) and inner:
        return f"a mapping from {_words(inner[0])} to {_words(inner[1])}"
    if _is_class(origin, Sequence) and inner:
        return f"a list or tuple, each of it {_words(inner[0])}"
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if _is_component(annotation):
        name = "client algorithm" if annotation.kind == "client" else annotation.kind
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return getattr(origin or annotation, "__name__", str(annotation))


def _remedy(value: Any, annotation: Any) -> str:
    if isinstance(value, str) and components_in(annotation):
        return f"; fedward.parse({value!r}) makes one of text"
    return ""
