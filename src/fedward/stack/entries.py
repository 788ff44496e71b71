"""One entry of what a client sent: a tensor or an array, as a tensor that can be read; sparse ones as they are."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..failures import tamed
from .layout import remedy

# From the least exact to the most; of two that are equally exact, the one with the greater range comes later.
_BY_PRECISION = (
    torch.float8_e4m3fnuz,
    torch.float8_e4m3fn,
    torch.float8_e5m2fnuz,
    torch.float8_e5m2,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
)


_LONGEST = 500  # characters of what is said of a client


class UnfitError(Exception):
    """What a client sent cannot be used. It never leaves this package: it becomes a verdict or another error."""

    def __init__(self, error: type[Exception], text: str, *, stray: bool = False) -> None:
        super().__init__(text)
        self.error = error
        self.text = tamed(text, _LONGEST)  # names of tensors, and whatever else a client can make up
        self.stray = stray  # an entry of a state dict that is no tensor, such as modules keep there


def as_tensor(value: object) -> Tensor:
    """A tensor, array or NumPy number as a tensor, copied only where PyTorch cannot read it where it lies.

    Raises:
        UnfitError: it is none, or of a kind that cannot be aggregated.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _from_numpy(np.asanyarray(value))
    if not isinstance(value, Tensor):
        raise UnfitError(TypeError, f"is of type {type(value).__name__}, not a tensor or an array")
    if value.is_nested:
        raise UnfitError(TypeError, "is a nested tensor; send the tensors that it is made of: unbind()")
    if value.is_meta:
        raise UnfitError(TypeError, "is a meta tensor, which holds no values; send one that was loaded or computed")
    if value.is_complex() or value.is_quantized:
        raise UnfitError(TypeError, f"is {value.dtype}; {remedy(value)}")
    if value.is_floating_point() and value.dtype not in _BY_PRECISION:
        raise UnfitError(TypeError, f"is {value.dtype}, which cannot be read; convert it with .float()")
    return value.detach().resolve_neg() if value.layout == torch.strided else _sparse(value.detach())


def _sparse(tensor: Tensor) -> Tensor:
    """A tensor of any other memory layout as coordinates and values, which are known to be within its shape."""
    try:
        if tensor.layout in (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
            by_row = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
            ends = tensor.crow_indices() if by_row else tensor.ccol_indices()
            places = tensor.col_indices() if by_row else tensor.row_indices()
            # PyTorch checks none of this on its own, and reads whatever memory a wrong index points to.
            tensor = torch.sparse_compressed_tensor(
                ends, places, tensor.values(), tensor.shape, layout=tensor.layout, check_invariants=True
            ).to_sparse()
        if tensor.layout != torch.sparse_coo:
            return tensor.to_dense()
        return torch.sparse_coo_tensor(tensor._indices(), tensor._values(), tensor.shape, check_invariants=True)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UnfitError(ValueError, f"is a {tensor.layout} tensor that cannot be read ({reason})") from None


def _from_numpy(array: np.ndarray) -> Tensor:
    if isinstance(array, np.ma.MaskedArray):
        raise UnfitError(TypeError, "is a masked array; fill what is masked: .filled(0)")
    if array.dtype.kind == "c":
        raise UnfitError(TypeError, f"is an array of {array.dtype}; updates are real numbers: send .real and .imag")
    if array.dtype.kind not in "fiub":
        raise UnfitError(TypeError, f"is an array of {array.dtype}, not of numbers; convert it with .astype('float32')")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = _narrowed(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if min(array.strides, default=0) < 0:  # torch has no negative strides
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # a read-only array is fine: rows are never written to
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(np.asarray(array))


def _narrowed(array: np.ndarray) -> np.ndarray:
    """A long double array in float64."""
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float64)
    if bool((np.isfinite(array) & ~np.isfinite(narrow)).any()):
        raise UnfitError(ValueError, f"is an array of {array.dtype} with values beyond float64's; scale it down")
    return narrow


def kind(tensor: Tensor) -> str:
    """What may be exchanged for what: types of one kind are converted, others are not."""
    if tensor.is_floating_point():
        return "floating point"
    return "boolean" if tensor.dtype == torch.bool else "integer"


def middle_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """The type that most have; where none is in the majority, the middle one by precision, the wider of two.

    Either way fewer than half of the clients cannot move it beyond what the others sent.
    """
    ranked = sorted(dtypes, key=lambda t: (t.itemsize, _BY_PRECISION.index(t) if t in _BY_PRECISION else 0, str(t)))
    return ranked[len(ranked) // 2]


def widest(dtypes: Sequence[torch.dtype]) -> torch.dtype:
    """The floating-point type that holds values of all of these."""
    first, *others = dtypes
    for dtype in others:
        if dtype != first:  # torch has no promotion of one-byte types
            one, other = (torch.float32 if t.itemsize == 1 else t for t in (first, dtype))
            first = torch.promote_types(one, other)
    return first


class Flat:
    """A tensor as a row, of which a range of entries can be had: what is sparse stays sparse."""

    def __init__(self, tensor: Tensor) -> None:
        self.dtype, self.device = tensor.dtype, tensor.device
        self._places: Tensor | None = None
        if tensor.layout == torch.strided:
            self.values = tensor.detach().reshape(-1)
            return
        tensor = tensor.detach().coalesce()
        places, values = tensor.indices(), tensor.values()
        row = torch.zeros(places.shape[1], dtype=torch.int64, device=places.device)
        for size, index in zip(tensor.shape, places, strict=False):  # dense dimensions come after the sparse ones
            row = row * size + index
        dense = values[0].numel() if len(values) else 1
        self._places = (row[:, None] * dense + torch.arange(dense, device=row.device)).reshape(-1)
        self.values = values.reshape(-1)

    def part(self, start: int, stop: int) -> Tensor:
        """Entries ``start`` to ``stop``: a view, unless it is sparse."""
        if self._places is None:
            return self.values[start:stop]
        ends = torch.tensor([start, stop], device=self._places.device)
        first, last = torch.searchsorted(self._places, ends).tolist()
        part = self.values.new_zeros(stop - start)
        part[self._places[first:last] - start] = self.values[first:last]
        return part

    def isfinite(self) -> bool:
        """Whether every entry is."""
        values = self.values if self.values.dtype.itemsize > 1 else self.values.float()
        return bool(values.isfinite().all())
