"""The model of a simulation, made for its data and tried on one sample of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core import Context
from ..core.neutral import drawing
from ..data.dataset import Dataset
from ..failures import own_fault
from ..models import make_model


def fitting_model(model: nn.Module | Callable[..., nn.Module], dataset: Dataset, seed: int) -> nn.Module:
    """The module itself, or what the function makes of the shape of samples, the number of classes, and the seed.

    Raises:
        ValueError: it is neither, it cannot take the samples, or its output or the labels do not fit the classes; or
            there is nothing to test on.
    """
    _check_labels(dataset)
    made = model if isinstance(model, nn.Module) else _made(model, dataset, seed)
    _check_fit(made, dataset)
    return made


def _made(model: Callable[..., nn.Module], dataset: Dataset, seed: int) -> nn.Module:
    if not callable(model):
        raise ValueError(f"Simulation: model is a module or a function that makes one, got {model!r}")
    shape = dataset.shape
    drawn = Context(seed=seed).draw_seed("model")
    with drawing(drawn):
        torch.manual_seed(drawn)  # on every device
        try:
            return make_model(model, shape, dataset.classes, dataset.vocabulary)
        except TypeError as error:
            raise ValueError(f"Simulation: {model!r} makes no model of samples of shape {shape}: {error}") from error


def _check_labels(dataset: Dataset) -> None:
    """Of data that anybody may have put together: on a GPU a label that is none ends the process."""
    for split, called in ((dataset.train, "training"), (dataset.test, "test")):
        if len(split) == 0:
            raise ValueError(f"Simulation: the {called} set has no samples")
        for label in (int(split.labels.min()), int(split.labels.max())):
            if not 0 <= label < dataset.classes:
                raise ValueError(
                    f"Simulation: labels are whole numbers from 0 to {dataset.classes - 1}, one of the {called} set is "
                    f"{label}"
                )


def _check_fit(model: nn.Module, dataset: Dataset) -> None:
    """Try the model on one sample, without leaving a trace in it or in PyTorch's generator."""
    sample = dataset.train.inputs[:1]
    was_training = {part: part.training for part in model.modules()}
    try:
        device = next(model.parameters(), sample).device
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            output = model.eval()(sample.to(device))
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        why = own_fault(error) or str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the model cannot take a sample of shape {dataset.shape} and type {sample.dtype}: {why}; build it for "
            "such samples (a factory may take shape and classes), or take another model"
        ) from error
    finally:
        for part, training in was_training.items():
            part.training = training
    wanted = (len(sample), dataset.classes)
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < dataset.classes:
        found = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        remedy = (
            "build it for that many classes (a factory may take shape and classes)"
            if isinstance(output, Tensor)
            else "let its forward return the logits alone"
        )
        raise ValueError(
            f"the model gives {found} for one sample, and {dataset.classes} classes need logits of shape {wanted}: "
            f"{remedy}"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"the model, {type(model).__name__}, has no parameter that requires a gradient, so that clients have "
            "nothing to train: leave at least its last layer unfrozen"
        )
