"""Dataclasses as JSON, and back: the annotation of a field says how it is written and what is taken when it is read.

Numbers, text, ``X | None``, tuples, mappings and dataclasses in dataclasses need nothing more than their type. Whatever
is written in a way of its own, or bounded, has its `Form` in the annotation: ``Annotated[float | None, RATE]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, partial
from reprlib import repr as shortened
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ..failures import tamed

D = TypeVar("D")

_DIGITS = 30  # of a whole number that is a name
_DEEPEST = 20
"""Levels of lists and objects in a value of any kind: what is deeper was made to exhaust whoever shows it."""


class FormError(ValueError):
    """What is read is not what is due.

    Attributes:
        fields: names of the entries that are missing or wrong.
    """

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a value is written as JSON has it, and read.

    Attributes:
        write: the value as JSON has it.
        read: the value again; raises FormError with what must be, to be read after the name of the field.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def written(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it, its fields in order."""
    return {field.name: form.write(getattr(value, field.name)) for field, form in _forms(value.__class__)}


def read_back(cls: type[D], entry: Any) -> D:
    """The dataclass that `written` was called on.

    Entries that are missing or null take the default of their field; those that no field knows are left aside, so
    that what later versions add does no harm.

    Raises:
        FormError: no JSON object, or an entry that is missing or wrong.
    """
    if not isinstance(entry, dict):
        raise FormError("expected a JSON object")
    due: Any = cls
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for field, form in _forms(due):
        given = entry.get(field.name)
        if given is None and _has_default(field):
            continue
        if field.name not in entry:
            wrong[field.name] = f"no entry {field.name!r}"
            continue
        try:
            values[field.name] = form.read(given)
        except FormError as error:
            wrong[field.name] = f"{field.name} {error}"
    if wrong:
        raise FormError("; ".join(wrong.values()), tuple(wrong))
    return cls(**values)


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


@cache
def _forms(cls: Any) -> tuple[tuple[Field[Any], Form], ...]:
    """The fields of a dataclass, in order, each with its form."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple((field, _form(hints[field.name])) for field in fields(cls))


def _form(annotation: Any) -> Form:
    """What an annotation says; loud about those that it knows nothing of."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        own = next((extra for extra in inner[1:] if isinstance(extra, Form)), None)
        return own or _form(inner[0])
    if origin in (Union, UnionType) and NoneType in inner and len(inner) == 2:
        return _optional(_form(inner[0] if inner[1] is NoneType else inner[1]))
    if origin is tuple:
        return _items(_form(inner[0])) if inner[-1] is ... else _places([_form(part) for part in inner])
    if origin is Mapping:
        return _table(inner[0], _form(inner[1]))
    if isinstance(annotation, type) and is_dataclass(annotation):
        return Form(write=written, read=partial(read_back, annotation))
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    raise TypeError(f"{annotation!r} has no form in JSON: annotate the field with one, Annotated[..., Form(...)]")


def _as_it_is(value: Any) -> Any:
    return value


def shallow(value: Any) -> Any:
    """A value of any kind, of no more levels than somebody has written on purpose.

    Raises:
        FormError: it has more.
    """
    level = [value]
    for _ in range(_DEEPEST):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list | tuple)]
        level = [each for values in inner for each in values]
        if not level:
            return value
    raise FormError(f"must have at most {_DEEPEST} levels of lists and objects")


def brief(value: Any) -> str:
    """A value as an error repeats it: whoever made the file chose it."""
    return tamed(shortened(value), 100)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise FormError(f"must be true or false, got {brief(value)}")
    return value


def read_whole(value: Any) -> int:
    """A whole number of JSON's.

    Raises:
        FormError: it is none.
    """
    if type(value) is not int:
        raise FormError(f"must be a whole number, got {brief(value)}")
    return value


def read_number(value: Any) -> float:
    """A number of JSON's, as a float.

    Raises:
        FormError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormError(f"must be a number, got {brief(value)}")
    try:
        return float(value)
    except OverflowError:
        raise FormError("must be a number that a float can hold") from None


def read_rate(value: Any) -> float:
    """A share in [0, 1].

    Raises:
        FormError: it is none.
    """
    rate = read_number(value)
    if not 0.0 <= rate <= 1.0:
        raise FormError(f"must lie in 0..1, got {rate!r}")
    return rate


def read_text(value: Any) -> str:
    """Text of JSON's.

    Raises:
        FormError: it is none.
    """
    if not isinstance(value, str):
        raise FormError(f"must be text, got {brief(value)}")
    return value


_PLAIN: Mapping[Any, Form] = {
    Any: Form(write=_as_it_is, read=shallow),
    bool: Form(write=_as_it_is, read=_truth),
    int: Form(write=_as_it_is, read=read_whole),
    float: Form(write=_as_it_is, read=read_number),
    str: Form(write=str, read=read_text),
}


def _optional(form: Form) -> Form:
    def read_optional(value: Any) -> Any:
        return None if value is None else form.read(value)

    def write_optional(value: Any) -> Any:
        return None if value is None else form.write(value)

    return Form(write=write_optional, read=read_optional)


def _items(form: Form) -> Form:
    # Lists, as JSON has them, or tuples: checkpoints of earlier versions hold records as they were in memory.
    def read_items(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise FormError(f"must be a list, got {brief(value)}")
        return tuple(map(form.read, value))

    return Form(write=lambda value: [form.write(item) for item in value], read=read_items)


def _places(forms: list[Form]) -> Form:
    def read_places(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) != len(forms):
            raise FormError(f"must hold {len(forms)} values, got {brief(value)}")
        return tuple(form.read(item) for form, item in zip(forms, value, strict=True))

    def write_places(value: Any) -> list[Any]:
        return [form.write(item) for form, item in zip(forms, value, strict=True)]

    return Form(write=write_places, read=read_places)


def _table(keys: Any, form: Form) -> Form:
    """JSON has text for keys alone: whole numbers become text, and numbers again."""

    def read_key(text: str) -> Any:
        if keys is not int:
            return text
        if not text.lstrip("-").isdecimal() or len(text) > _DIGITS:
            raise FormError(f"must have whole numbers for names, got {brief(text)}")
        return int(text)

    def read_table(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise FormError(f"must be a JSON object, got {brief(value)}")
        return {read_key(key): form.read(item) for key, item in value.items()}

    return Form(write=lambda value: {str(key): form.write(item) for key, item in value.items()}, read=read_table)
