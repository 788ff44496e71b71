"""What the installed safetensors and PyTorch can write: the oldest admitted lack some unsigned and 8-bit types."""

from __future__ import annotations

import io

import torch
from safetensors.torch import save


def library_has(dtype: torch.dtype) -> bool:
    try:
        save({"a": torch.zeros(1).to(dtype)})
    except KeyError:
        return False
    return True


def pytorch_saves(dtype: torch.dtype) -> bool:
    try:
        torch.save(torch.zeros(1).to(dtype), io.BytesIO())
    except KeyError:
        return False
    return True
