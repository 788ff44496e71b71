"""Models by name, whoever has registered them, built for the data that they are to learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ..registry.entries import ByName
from ..registry.notation import recipe
from ..registry.parameters import parameters_of
from .shapes import GREY, Shape

__all__ = ["ANY_SAMPLES", "MODELS", "build_model", "check_model", "make_model"]

ANY_SAMPLES: Mapping[str, Any] = {"shape": GREY, "classes": 1, "vocabulary": 1}
"""What a model can be told before anything is known about the data."""

MODELS = ByName("model")
"""What makes the models, by name. The initial weights come from PyTorch's global generator."""


def build_model(
    text: str, shape: Shape | None = None, classes: int | None = None, vocabulary: int | None = None
) -> nn.Module:
    """A new model with PyTorch's default initialisation: ``mlp``, ``signguard-cnn:dropout=0.2``, ``my.models.Mine``.

    A model that has parameters of these names is told them; what the text says itself counts instead.

    Args:
        text: the model's name or import path, with arguments after a colon.
        shape: of one sample.
        classes: how many.
        vocabulary: how many tokens there are, for text.

    Raises:
        ValueError: there is no model of that name, or it does not take these arguments or such samples.
    """
    known = {"shape": shape, "classes": classes, "vocabulary": vocabulary}
    told = {name: value for name, value in known.items() if value is not None}
    try:
        found = recipe(text, "model", **told)
    except ValueError:
        if vocabulary is None and _takes(text, **{**told, "vocabulary": 1}):
            raise _no_text(text) from None
        raise
    facts = _facts_for(found.entry.cls, shape, classes, vocabulary)
    model = found.make(**{name: value for name, value in facts.items() if name not in found.arguments})
    return _checked(model, text)


def check_model(text: str) -> None:
    """Whether there is such a model, before anything is known about the data.

    Raises:
        ValueError: there is no model of that name, or it does not take these arguments.
    """
    recipe(text, "model", **ANY_SAMPLES)


def make_model(maker: Callable[..., nn.Module], shape: Shape, classes: int, vocabulary: int | None = None) -> nn.Module:
    """What a class or function of anybody's makes; it may take shape, classes and vocabulary by name, or none of them.

    Raises:
        ValueError: it makes no module, or must be told a vocabulary and the data have none.
    """
    if vocabulary is None and _must_be_told(maker, "vocabulary"):
        raise _no_text(getattr(maker, "__name__", repr(maker)))
    return _checked(maker(**_facts_for(maker, shape, classes, vocabulary)), repr(maker))


def _takes(text: str, **known: Any) -> bool:
    """Whether there is such a model for data of which this is known."""
    try:
        recipe(text, "model", **known)
    except ValueError:
        return False
    return True


def _must_be_told(maker: Callable[..., Any], name: str) -> bool:
    try:
        parameter = parameters_of(maker).get(name)
    except (ValueError, TypeError):  # as in `_facts_for`
        return False
    return parameter is not None and parameter.default is ...


def _no_text(model: str) -> ValueError:
    return ValueError(
        f"{model} is a model for text, which must be told the size of the vocabulary, and these data have none: take a "
        "model for such samples (`fedward list models`), or, if they are tokens, say how many there are, "
        "vocabulary=10002"
    )


def _facts_for(
    maker: Callable[..., Any], shape: Shape | None, classes: int | None, vocabulary: int | None
) -> Mapping[str, Any]:
    """What is known about the data, as far as the model's maker takes it."""
    try:
        takes = parameters_of(maker)
    except (ValueError, TypeError):  # what is written in C does not say what it takes
        return {}
    known = {"shape": shape, "classes": classes, "vocabulary": vocabulary}
    return {name: value for name, value in known.items() if value is not None and name in takes}


def _checked(model: object, made_by: str) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise ValueError(f"{made_by} makes {type(model).__name__}, and a model is a torch.nn.Module")
    return model
