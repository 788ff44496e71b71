"""`Lazy`: samples that are read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..failures import MendableError, place_in
from .images import of_bytes
from .sources import OwnDataError

__all__ = ["Lazy", "as_sample"]

_TELLING = 64
"""Samples by which data sets that do not lie in memory are told apart."""


class Lazy:
    """What a `Split` holds in the place of an (N, ...) tensor, if not all samples are to lie in memory.

    A batch is taken as from a tensor, with a slice, a tensor of numbers or a mask, and is one: read by one thread at a
    time, on the CPU. Whoever takes it moves it to where it is needed.

    Args:
        read: one sample by its number, as a tensor, an array or an image of PIL's.
        count: how many there are.
        called: what to call sample i in messages.

    Raises:
        ValueError: there is no sample.
        OwnDataError: later, when a batch is taken, its samples differ in shape, cannot be read or hold NaN.
    """

    device = torch.device("cpu")

    def __init__(
        self, read: Callable[[int], Any], count: int, called: Callable[[int], str] = "sample {}".format
    ) -> None:
        if count < 1:
            raise ValueError("a data set needs samples, got none")
        self._read = read
        self._called = called
        self._lock = Lock()
        first = as_sample(read(0), called(0))
        self.dtype = first.dtype
        self.shape = torch.Size((count, *first.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        if isinstance(chosen, Tensor) and chosen.dtype == torch.bool:
            chosen = chosen.nonzero().flatten()
        places = range(len(self))[chosen] if isinstance(chosen, slice) else chosen.tolist()
        if not places:
            return torch.empty((0, *self.shape[1:]), dtype=self.dtype)
        with self._lock:
            return torch.stack([self._one(place) for place in places])

    def to(self, device: torch.device | str) -> Lazy:
        """Itself: batches are moved, one after the other."""
        return self

    def telling(self) -> Tensor:
        """Some samples, spread evenly, by which it is told from others."""
        places = torch.linspace(0, len(self) - 1, min(len(self), _TELLING)).long()
        # In float32 the last of 2^25 is one too far. All others stay what they were: runs are recorded with them.
        return self[places.clamp(max=len(self) - 1)]

    def _one(self, place: int) -> Tensor:
        try:
            sample = as_sample(self._read(place), self._called(place))
        except Exception as error:
            told = fault_of(error)
            if told is None:
                raise
            called = self._called(place)
            raise OwnDataError(told if told.startswith(called) else f"{called}: {told}") from error
        if sample.shape != self.shape[1:] or sample.dtype != self.dtype:
            raise OwnDataError(
                f"{self._called(place)} is {_form(sample.shape, sample.dtype)}, {self._called(0)} "
                f"{_form(self.shape[1:], self.dtype)}: bring all samples to one size and type"
            )
        return sample


def fault_of(error: Exception) -> str | None:
    """What is wrong with data of the user's own, of which an error was raised; None if it has words of its own.

    A mistake in the user's code says where it is, for what it says besides may mean nothing to whoever made it.
    """
    if isinstance(error, OSError | MemoryError | ImportError):
        return None
    where = "" if isinstance(error, MendableError) else place_in(error)
    if where:
        return f"{type(error).__name__}: {' '.join(str(error).split())} ({where})"
    return str(error) if isinstance(error, ValueError | RuntimeError | TypeError) else None


def as_sample(value: Any, called: str) -> Tensor:
    """One sample as a tensor: pixels that are bytes from 0 to 1, channels first; other numbers as they are, float32.

    Raises:
        ValueError: it is no tensor, array or image, or holds NaN or infinity.
    """
    if hasattr(value, "getbands"):  # an image of PIL's
        value = _pixels(value, called)
    if isinstance(value, np.ndarray | Sequence) and not isinstance(value, str):
        value = torch.from_numpy(_known(np.array(value), called))
    if isinstance(value, int | float):
        value = torch.tensor([value])
    if not isinstance(value, Tensor):
        raise ValueError(f"{called} is {type(value).__name__}; a tensor, an array or an image is needed")
    return as_numbers(value[None], called)[0]


def _pixels(image: Any, called: str) -> np.ndarray:
    """An image of PIL's as bytes; numbers that somebody put into one stay as they are."""
    try:
        return np.asarray(image if image.mode == "F" else of_bytes(image))
    except ValueError as error:
        raise ValueError(f"{called}: {error}") from error


def _known(array: np.ndarray, called: str) -> np.ndarray:
    """An array as PyTorch takes it: of numbers, none longer than 64 bits, in the order of bytes of this machine."""
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{called} is an array of {array.dtype}; numbers are needed")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_numbers(samples: Tensor, called: str) -> Tensor:
    """(N, ...) samples as models take them: bytes (N, H, W[, C]) as (N, C, H, W) from 0 to 1; floats as float32.

    Raises:
        ValueError: NaN or infinity, or complex numbers.
    """
    if samples.dtype == torch.uint8:
        if samples.ndim == 3:
            samples = samples[:, None]
        elif samples.ndim == 4 and samples.shape[1] not in (1, 3, 4) and samples.shape[3] in (1, 3, 4):
            samples = samples.permute(0, 3, 1, 2)
        return samples.to(torch.float32).div_(255)
    if samples.is_complex():
        raise ValueError(f"{called}: real numbers are needed, got {samples.dtype}")
    if not samples.is_floating_point():
        return samples.to(torch.int64)
    samples = samples.to(torch.float32)
    if not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples)).nonzero()[0, 0])
        which = called if len(samples) == 1 else f"{called} {bad}"
        raise ValueError(f"{which} holds NaN or infinity: drop or repair such samples")
    return samples


def _form(shape: Sequence[int], dtype: torch.dtype) -> str:
    return f"{' x '.join(map(str, shape)) or 'a number'} of {str(dtype).removeprefix('torch.')}"
