"""Dataclasses as JSON, and back: the annotation of a field says how it is written and what is taken when it is read.

Numbers, text, ``X | None``, tuples, mappings and dataclasses in dataclasses need nothing more than their type. Whatever
is written in a way of its own, or bounded, has its `Form` in the annotation: ``Annotated[float | None, RATE]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

D = TypeVar("D")


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


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise FormError(f"must be true or false, got {value!r}")
    return value


def _whole_number(value: Any) -> int:
    if type(value) is not int:
        raise FormError(f"must be a whole number, got {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormError(f"must be a number, got {value!r}")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise FormError(f"must be text, got {value!r}")
    return value


_PLAIN: Mapping[Any, Form] = {
    Any: Form(write=_as_it_is, read=_as_it_is),
    bool: Form(write=_as_it_is, read=_truth),
    int: Form(write=_as_it_is, read=_whole_number),
    float: Form(write=_as_it_is, read=_number),
    str: Form(write=str, read=_text),
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
            raise FormError(f"must be a list, got {value!r}")
        return tuple(map(form.read, value))

    return Form(write=lambda value: [form.write(item) for item in value], read=read_items)


def _places(forms: list[Form]) -> Form:
    def read_places(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) != len(forms):
            raise FormError(f"must hold {len(forms)} values, got {value!r}")
        return tuple(form.read(item) for form, item in zip(forms, value, strict=True))

    def write_places(value: Any) -> list[Any]:
        return [form.write(item) for form, item in zip(forms, value, strict=True)]

    return Form(write=write_places, read=read_places)


def _table(keys: Any, form: Form) -> Form:
    """JSON has text for keys alone: whole numbers become text, and numbers again."""

    def read_key(text: str) -> Any:
        if keys is not int:
            return text
        if not text.lstrip("-").isdecimal():
            raise FormError(f"must have whole numbers for names, got {text!r}")
        return int(text)

    def read_table(value: Any) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise FormError(f"must be a JSON object, got {value!r}")
        return {read_key(key): form.read(item) for key, item in value.items()}

    return Form(write=lambda value: {str(key): form.write(item) for key, item in value.items()}, read=read_table)
