"""What can be read can be written: every type of the format, and what comes of files that have it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import fedward as fw
from fedward import rules
from fedward.stack import Files
from fedward.stack.tensorfile import DTYPES, TensorFile
from fedward.stack.written import save_tensors

COUNTERS = [dtype for dtype in DTYPES.values() if not dtype.is_floating_point and dtype != torch.bool]


@pytest.mark.parametrize("kind", DTYPES)
def test_every_type_that_is_read_is_written(tmp_path: Path, kind: str) -> None:
    """As the format's own library reads it, and under the name that it has there."""
    held = {"a": torch.arange(6).reshape(2, 3).to(DTYPES[kind]), "b": torch.ones(()).to(DTYPES[kind])}
    place = save_tensors(tmp_path / "a.safetensors", held)
    save_file(held, tmp_path / "b.safetensors")
    assert f'"{kind}"'.encode() in place.read_bytes()
    ours = TensorFile(str(place), keep=False)
    for name, found in load_file(place).items():
        own = ours.values(ours.tensors[name])
        assert own is not None
        for values in (found, own):
            assert (values.dtype, values.shape) == (held[name].dtype, held[name].shape)
            assert values.reshape(-1).view(torch.uint8).equal(held[name].reshape(-1).view(torch.uint8))
    assert load_file(tmp_path / "b.safetensors").keys() == held.keys()


@pytest.mark.parametrize("dtype", COUNTERS, ids=str)
@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz"])
def test_what_comes_of_files_with_counters_is_saved(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    places = [tmp_path / f"{k}.safetensors" for k in range(5)]
    for k, place in enumerate(places):
        save_file({"steps": torch.tensor([k, 7, 3]).to(dtype), "w": torch.full((4,), float(k))}, place)
    result = fw.Aggregator(rules.Median())(Files(places, integers="counters"))
    saved = result.save(tmp_path / f"out{suffix}")
    if suffix == ".safetensors":
        found = load_file(saved)["steps"]
        assert found.dtype == dtype
        assert found.tolist() == result.state_dict()["steps"].tolist()
