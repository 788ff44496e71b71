"""Named tensors as a file, in the format that its name asks for; the file is there as a whole, or not at all."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..disk import replacing
from .tensorfile import DTYPES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""What safetensors calls types."""
WRITTEN = (".safetensors", ".pt", ".pth", ".bin", ".npz")


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write named tensors: ``.safetensors``, ``.pt``, ``.pth`` or ``.bin`` of PyTorch's, ``.npz`` of NumPy's.

    Args:
        path: the file. It appears under this name when all of it is written.
        tensors: by name.
        metadata: text that goes with them in safetensors, which alone has a place for it.

    Raises:
        ValueError: another suffix, or a type that the format lacks.
        OSError: the file cannot be written.
    """
    place = Path(path)
    if place.suffix not in WRITTEN:
        raise ValueError(f"{place} has the suffix {place.suffix!r}; name a file with one of {', '.join(WRITTEN)}")
    if place.suffix == ".npz":
        arrays = {name: _array(name, tensor) for name, tensor in tensors.items()}
        with replacing(place) as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():  # `numpy.savez` has no room for an array called "file"
                with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                    np.lib.format.write_array(part, array, allow_pickle=False)
    elif place.suffix == ".safetensors":
        with replacing(place) as file:
            _write_safetensors(file, tensors, metadata or {})
    else:
        with replacing(place) as file:
            try:
                torch.save({name: tensor.cpu() for name, tensor in tensors.items()}, file)
            except KeyError as error:  # PyTorch 2.4 has no storage for unsigned numbers of more than 8 bits
                told = f"PyTorch {torch.__version__} cannot write such tensors as {place.suffix}: {error.args[0]}"
                raise ValueError(f"{told}; write a .safetensors") from error
    return place


def _write_safetensors(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """One tensor after the other, so that no second copy of the model is in memory."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    # Wider types first, as the format's own library has it, so that every tensor lies at a multiple of its type's size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    start = 0
    for name, tensor in ordered:
        if tensor.dtype not in _NAMES:
            raise ValueError(f"{name} is {tensor.dtype}, which safetensors has no name for; write a .pt")
        stop = start + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for _, tensor in ordered:
        file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _array(name: str, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16 or (tensor.is_floating_point() and tensor.element_size() == 1):
        raise ValueError(f"{name} is {tensor.dtype}, which no array can be; write a .safetensors")
    return tensor.detach().cpu().numpy()
