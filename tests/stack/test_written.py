"""What can be read can be written: every type of the format, and what comes of files that have it."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.stack import Files
from fedward.stack.tensorfile import DTYPES, TensorFile
from fedward.stack.written import save_tensors
from tests.stack.library import library_has, pytorch_saves

COUNTERS = [dtype for dtype in DTYPES.values() if not dtype.is_floating_point and dtype != torch.bool]


def some(kind: str) -> dict[str, Tensor]:
    return {"a": torch.arange(6).reshape(2, 3).to(DTYPES[kind]), "b": torch.ones(()).to(DTYPES[kind])}


def alike(one: Tensor | None, other: Tensor) -> bool:
    """To the bit, also where the values are no numbers."""
    assert one is not None
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    return one.reshape(-1).view(torch.uint8).equal(other.reshape(-1).view(torch.uint8))


@pytest.mark.parametrize("kind", DTYPES)
def test_every_type_that_is_read_is_written(tmp_path: Path, kind: str) -> None:
    held = some(kind)
    place = save_tensors(tmp_path / "a.safetensors", held)
    assert f'"{kind}"'.encode() in place.read_bytes()
    ours = TensorFile(str(place), keep=False)
    assert ours.tensors.keys() == held.keys()
    assert all(alike(ours.values(ours.tensors[name]), values) for name, values in held.items())


@pytest.mark.parametrize("kind", DTYPES)
def test_what_is_written_is_what_the_format_s_library_reads_and_writes(tmp_path: Path, kind: str) -> None:
    if not library_has(DTYPES[kind]):
        pytest.skip(f"safetensors {safetensors.__version__} has no {kind}")
    held = some(kind)
    found = load_file(save_tensors(tmp_path / "a.safetensors", held))
    assert found.keys() == held.keys()
    assert all(alike(values, held[name]) for name, values in found.items())
    save_file(held, tmp_path / "b.safetensors")
    theirs = TensorFile(str(tmp_path / "b.safetensors"), keep=False)
    assert all(alike(theirs.values(theirs.tensors[name]), values) for name, values in held.items())


@pytest.mark.parametrize("dtype", COUNTERS, ids=str)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz"])
def test_what_comes_of_files_with_counters_is_saved(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    places = [tmp_path / f"{k}.safetensors" for k in range(5)]
    for k, place in enumerate(places):
        save_tensors(place, {"steps": torch.tensor([k, 7, 3]).to(dtype), "w": torch.full((4,), float(k))})
    result = fw.Aggregator(rules.Median())(Files(places, integers="counters"))
    if suffix == ".pt" and not pytorch_saves(dtype):
        with pytest.raises(ValueError, match=rf"cannot write such tensors as .pt: .*{dtype}.*; write a .safetensors"):
            result.save(tmp_path / f"out{suffix}")
        return
    saved = result.save(tmp_path / f"out{suffix}")
    if suffix == ".safetensors":
        file = TensorFile(str(saved), keep=False)
        found = file.values(file.tensors["steps"])
        assert found is not None
        assert found.dtype == dtype
        assert found.tolist() == result.state_dict()["steps"].tolist()
