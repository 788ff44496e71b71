"""The server's optimiser of a specification: text, with three keys of their own beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..registry.naming import listing, unknown
from ..registry.notation import describe, recipe
from ..registry.parameters import parameters_of
from ..sim import Server, ServerSGD

# SGD's, where nothing is given.
_FOR_GRADIENTS: Mapping[str, float] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
_FOR_DELTAS: Mapping[str, float] = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}

SERVER_KEYS = tuple(_FOR_GRADIENTS)
"""Parameters of servers that are keys of a specification as well."""


def server_of(text: str, keys: Mapping[str, float | None], *, deltas: bool) -> Server:
    """The server that text and keys describe; plain SGD has the usual values for what is said by neither.

    Args:
        text: such as ``sgd`` or ``fed-adam:lr=0.01``.
        keys: lr, momentum and weight_decay, None where not given.
        deltas: whether clients send deltas, and not gradients.

    Raises:
        ValueError: there is no such server, a key that it does not take, or one that the text has as well.
    """
    found = recipe(text, "server")
    usual = _FOR_DELTAS if deltas else _FOR_GRADIENTS
    chosen = {key: value for key, value in usual.items() if found.entry.cls is ServerSGD and key not in found.arguments}
    for key, value in keys.items():
        if value is None:
            continue
        if key in found.arguments:
            raise ValueError(f"{key} is given twice, as {value:g} and in {text!r}: leave one of them out")
        if key not in found.entry.parameters:
            raise ValueError(unknown(f"argument of {found.entry.name}", key, found.entry.parameters, listing("server")))
        chosen[key] = value
    server: Server = found.make(**chosen)
    return server


def in_keys(server: Server) -> dict[str, Any]:
    """A server as text and keys, the parameters that are keys not in the text; None where it has no such parameter."""
    keys = {key: getattr(server, key, None) for key in SERVER_KEYS}
    parameters = parameters_of(type(server))
    plain = {key: parameters[key].default for key in keys if key in parameters and parameters[key].default is not ...}
    return {"server": describe(replace(server, **plain)), **keys}
