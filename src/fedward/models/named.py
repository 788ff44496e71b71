"""Models by name, whoever has registered them."""

from __future__ import annotations

from torch import nn

from ..registry.entries import ByName
from ..registry.notation import recipe

__all__ = ["MODELS", "build_model"]

MODELS = ByName("model")
"""What makes the models, by name. The initial weights come from PyTorch's global generator."""


def build_model(text: str) -> nn.Module:
    """A new model with PyTorch's default initialisation: ``mlp``, ``signguard-cnn:dropout=0.2``, ``my.models.Mine``.

    Raises:
        ValueError: there is no model of that name, or it does not take these arguments.
    """
    model = recipe(text, "model").make()
    if not isinstance(model, nn.Module):
        raise ValueError(f"{text} makes {type(model).__name__}, and a model is a torch.nn.Module")
    return model
