"""Files by the id of their client, and counts as tensors without dimensions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import fedward as fw
from fedward.rules.messages import examples
from fedward.stack import Files


def test_files_by_id(tmp_path: Path) -> None:
    for k in range(2):
        save_file({"w": torch.full((3,), float(k))}, tmp_path / f"{k}.safetensors")
    paths = {"ann": tmp_path / "1.safetensors", 7: tmp_path / "0.safetensors"}
    stack = Files(paths)
    assert list(stack.ids) == ["ann", 7]
    assert fw.Aggregator(fw.rules.Mean())(stack).output.tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="files by id have their ids"):
        Files(paths, ids=["a", "b"])


def test_a_count_may_be_a_tensor_without_dimensions() -> None:
    said = [
        torch.tensor(3),
        np.array(2.5),
        torch.tensor(True),
        torch.ones(1),
        torch.tensor(1j),
        torch.tensor(torch.inf),
    ]
    context = fw.Context(messages={i: {"num-examples": value} for i, value in enumerate(said)})
    assert examples(range(len(said)), context).tolist() == [3, 2.5, 0, 0, 0, 0]
