"""An adapter that is put together in a strange way is a verdict on its client, and the others go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from fedward.cli.app import app

from .test_adapters import clients, write

LAYER = "base_model.model.q"


def whole(tensors: dict[str, Tensor]) -> None:
    """The product in the place of its factors, by the name of the layer."""
    A, B = tensors.pop(f"{LAYER}.lora_A.weight"), tensors.pop(f"{LAYER}.lora_B.weight")
    tensors[LAYER] = (B @ A).contiguous()


def both(tensors: dict[str, Tensor]) -> None:
    """The product beside its factors."""
    A, B = tensors[f"{LAYER}.lora_A.weight"], tensors[f"{LAYER}.lora_B.weight"]
    tensors[LAYER] = (B @ A).contiguous()


def verdicts(folder: Path) -> dict[str, dict[str, Any]]:
    done = CliRunner().invoke(app, ["audit", str(folder), "--json"])
    assert done.exit_code == 3, done.output
    return {client["id"]: client for client in json.loads(done.output)["clients"]}


@pytest.mark.parametrize("change", [whole, both])
@pytest.mark.parametrize("who", ["client-0", "client-5"])
def test_a_layer_that_comes_whole_where_the_others_send_factors(
    change: Callable[[dict[str, Tensor]], None], who: str, tmp_path: Path
) -> None:
    for name, layers in clients(flipped=None, scaled=None).items():
        write(tmp_path / name, layers)
    file = tmp_path / who / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    found = verdicts(tmp_path)
    assert [name for name, client in found.items() if client["reason"] == "malformed"] == [who]
    assert LAYER in found[who]["detail"]


@pytest.mark.parametrize("alpha", [10**400, -(10**400), 1e999, float("nan"), True, "16", [16]])
def test_a_scale_that_is_no_number(alpha: Any, tmp_path: Path) -> None:
    for name, layers in clients(flipped=None, scaled=None).items():
        write(tmp_path / name, layers, **({"lora_alpha": alpha} if name == "client-0" else {}))
    found = verdicts(tmp_path)
    assert found["client-0"]["reason"] == "malformed"
    assert "lora_alpha" in found["client-0"]["detail"]
