"""Parameters, as their annotations say.

One mechanism for whatever has a name (rules, mixers, attacks, client algorithms, partitions, the server's optimiser,
models, data sets): what the annotation of a field or argument says is what it takes. A choice of words is annotated
with `typing.Literal`, a bound of a number as `fedward.registry.bounds` has it: ``Annotated[int, AtLeast(1)]``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import lru_cache
from math import isnan
from numbers import Integral, Real
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from .bounds import AtLeast, Byzantine, Limit, NameOf, Words, in_words
from .naming import article

Variant = Literal["paper", "official"]
"""What a rule does where the authors' code differs from their paper."""

_BYZANTINE = AtLeast(0, "f counts byzantine clients")


# --- what there is to know about a parameter ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a class or function.

    Attributes:
        name: as it is called.
        takes: the annotation, evaluated, bounds included; Any where there is none.
        default: `...` if it must be given.
    """

    name: str
    takes: Any
    default: Any = ...

    @property
    def components(self) -> tuple[Any, ...]:
        """The classes of components that it takes or holds."""
        return _components_in(self.takes)

    @property
    def spoken(self) -> str:
        """What it takes, in words, bounds included."""
        return _words(self.takes)

    @property
    def numbers(self) -> bool:
        """Whether it takes any number."""
        return float in self._choices

    @property
    def none(self) -> bool:
        """Whether it takes None."""
        return NoneType in self._choices

    @property
    def several(self) -> bool:
        """Whether it takes a list, a tuple or a mapping."""
        return any(_is_class(get_origin(choice), (Sequence, Mapping)) for choice in self._choices)

    @property
    def sequence(self) -> bool:
        """Whether it takes a list or a tuple."""
        return any(_is_class(get_origin(choice), Sequence) for choice in self._choices)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes."""
        literals = (choice for choice in self._choices if get_origin(choice) is Literal)
        return tuple(word for literal in literals for word in get_args(literal) if isinstance(word, str))

    @property
    def names(self) -> str:
        """The kind of what its text names, which is made later; empty for other text."""
        notes = get_args(self.takes)[1:] if get_origin(self.takes) is Annotated else ()
        return next((note.kind for note in notes if isinstance(note, NameOf)), "")

    @property
    def _choices(self) -> tuple[Any, ...]:
        """Of which types it takes one, without their bounds."""
        bare = _bare(self.takes)
        return tuple(map(_bare, get_args(bare))) if get_origin(bare) in (Union, UnionType) else (bare,)


@lru_cache(maxsize=1024)
def parameters_of(maker: Callable[..., Any]) -> Mapping[str, Parameter]:
    """The parameters of a dataclass, another class, a function or whatever can be called, by name.

    Of an abstract class without fields, or of arguments that have no name of their own, nothing is known. A parameter
    called f counts byzantine clients, and so is at least 0 everywhere.
    """
    if isinstance(maker, type) and is_dataclass(maker):
        found = [_of_field(maker, field) for field in fields(maker) if field.init]
    else:
        found = list(_of_arguments(maker))
    return {parameter.name: parameter for parameter in found}


def _of_field(cls: type, field: Field[Any]) -> Parameter:
    default = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    base = next(base for base in cls.__mro__ if field.name in inspect.get_annotations(base))
    takes = _evaluated(base.__module__, field.name, inspect.get_annotations(base)[field.name])
    return Parameter(name=field.name, takes=takes, default=... if default is MISSING else default)


def _of_arguments(maker: Callable[..., Any]) -> Iterator[Parameter]:
    home = getattr(maker, "__init__", maker) if isinstance(maker, type) else maker
    if home is object.__init__:
        return
    for argument in inspect.signature(maker).parameters.values():
        if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            unknown = argument.annotation is argument.empty
            takes = Any if unknown else _evaluated(home.__module__, argument.name, argument.annotation)
            default = ... if argument.default is argument.empty else argument.default
            yield Parameter(name=argument.name, takes=takes, default=default)


def _evaluated(module: str, name: str, annotation: Any) -> Any:
    """An annotation with the names of the module that it is written in."""
    holder = SimpleNamespace(__annotations__={name: annotation})
    names = vars(sys.modules[module]) if module in sys.modules else {}
    try:
        takes = get_type_hints(holder, globalns=dict(names), include_extras=True)[name]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return Any  # a name that is local to a function, or imported for type checkers alone
    _check_notes(name, takes)
    return Annotated[takes, _BYZANTINE] if name == "f" and takes != Byzantine else takes


def _check_notes(name: str, takes: Any) -> None:
    """Refuse ``Annotated[float, Positive]``, whose bound would hold nothing back: `Positive` is a type with its own."""
    if get_origin(takes) is not Annotated:
        return
    for note in get_args(takes)[1:]:
        if get_origin(note) is Annotated:
            words = _words(note)
            raise ValueError(f"{name}: a type with bounds of its own ({words}) is a whole annotation, not part of one")


def _bare(annotation: Any) -> Any:
    """Without bounds."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _components_in(annotation: Any) -> tuple[Any, ...]:
    if _is_component(annotation):
        return (annotation,)
    inner = get_args(annotation) if get_origin(annotation) not in (Literal, type) else ()
    return tuple(dict.fromkeys(cls for part in inner for cls in _components_in(part)))


def _is_class(annotation: Any, base: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, base)


def _is_component(annotation: Any) -> bool:
    """Whether this is a class of rules, mixers, attacks or another kind of component."""
    return isinstance(annotation, type) and isinstance(getattr(annotation, "kind", None), str)


# --- holding values against it ------------------------------------------------------------------------------


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
    if not is_dataclass(cls):
        return
    for name, parameter in parameters_of(cls).items():
        value = getattr(component, name)
        kept = check_value(cls.__name__, name, value, parameter.takes)
        if kept is not value:
            object.__setattr__(component, name, kept)


def check_value(owner: str, name: str, value: Any, annotation: Any) -> Any:
    """The value as it is kept where a type is due, as for `check_parameters`.

    Raises:
        ValueError: names the owner, the parameter, what it takes and what it got.
    """
    try:
        return _fitted(value, annotation)
    except _MisfitError as misfit:
        remedy = misfit.hint
        if isinstance(value, str) and _components_in(annotation):
            remedy = f"fedward.parse({value!r}) makes one of text"
        elif inspect.isroutine(value):
            kinds = [cls.kind for cls in _components_in(annotation) if cls.kind in ("rule", "attack")]
            remedy = f"fedward.{kinds[0]} makes one of a function" if kinds else remedy
        message = f"{owner}: {name} is {_words(annotation)}, got {value!r}"
        raise ValueError(f"{message}; {remedy}" if remedy else message) from None


class _MisfitError(Exception):
    """A value that an annotation does not allow. It never leaves this module."""

    def __init__(self, hint: str = "") -> None:
        super().__init__(hint)
        self.hint = hint


def _fitted(value: Any, annotation: Any) -> Any:
    """The value as a parameter of this type keeps it."""
    if isinstance(value, np.generic) and not _is_class(annotation, np.generic):
        value = value.item()
    if isinstance(value, float) and isnan(value):
        raise _MisfitError
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _within(_chosen(value, inner[0], inner[1:]), inner[1:])
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


def _chosen(value: Any, annotation: Any, notes: Sequence[Any]) -> Any:
    """The value as a parameter of this type keeps it; who chose none of the words may be told more."""
    try:
        return _fitted(value, annotation)
    except _MisfitError as misfit:
        hints = [note.hint for note in notes if isinstance(note, Words)]
        raise _MisfitError(misfit.hint or next(iter(hints), "")) from None


def _within(value: Any, notes: Sequence[Any]) -> Any:
    """The value, if it is a number only one within all bounds; other notes than bounds are anybody's own."""
    if isinstance(value, Real):
        for note in notes:
            if isinstance(note, Limit) and not note.holds(value):
                raise _MisfitError(note.hint)
    return value


def _first_fit(value: Any, choices: Sequence[Any]) -> Any:
    hints = []
    for choice in choices:
        try:
            return _fitted(value, choice)
        except _MisfitError as misfit:
            hints.append(misfit.hint)
    raise _MisfitError(next(filter(None, hints), ""))


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
    unchanged = all(kept is item for kept, item in zip(items, value, strict=True))
    if unchanged and (isinstance(value, tuple) or origin not in (tuple, Sequence)):
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
    if origin is Annotated:
        bounds = [note for note in inner[1:] if isinstance(note, Limit)]
        return f"{_words(inner[0])} {in_words(bounds)}".rstrip()
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
        return article(annotation.kind)
    return getattr(origin or annotation, "__name__", str(annotation))
