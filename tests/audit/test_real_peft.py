"""Adapters as PEFT itself writes and loads them. Where PEFT is not installed, what it writes is written by hand."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fedward.cli.app import app
from tests.audit.test_adapters import clients, write

TARGETS = ["q_proj", "v_proj", "down_proj"]
RANKS = (4, 6, 8, 10, 12, 16, 5, 9)
FLIPPED, SCALED = 3, 6
peft_is_here = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None or importlib.util.find_spec("transformers") is None,
    reason="pip install peft: this writes and loads adapters by PEFT itself",
)


@pytest.fixture
def base() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=97, num_hidden_layers=2, **sizes)).eval()


def train(base: Any, folder: Path, *, rank: int, factor: float, seed: int) -> None:
    """An adapter near one change of the model, times a factor, saved by PEFT."""
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=rank, lora_alpha=16, target_modules=TARGETS, use_rslora=seed % 2 == 1)
    model = get_peft_model(copy.deepcopy(base), settings)
    common, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(100 + seed)
    for module in model.modules():
        if "default" not in getattr(module, "lora_A", {}):
            continue
        shape = (module.lora_B["default"].out_features, module.lora_A["default"].in_features)
        change = 0.02 * torch.randn(shape, generator=common) + 0.01 * torch.randn(shape, generator=own)
        U, S, Vh = torch.linalg.svd(factor * change)
        with torch.no_grad():
            module.lora_A["default"].weight.copy_(Vh[:rank])
            module.lora_B["default"].weight.copy_(U[:, :rank] * S[:rank] / module.scaling["default"])
    model.save_pretrained(str(folder))


@peft_is_here
def test_peft_loads_the_mean_of_what_the_accepted_changed(base: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    for k, rank in enumerate(RANKS):
        factor = -1.0 if k == FLIPPED else 10.0 if k == SCALED else 1.0
        train(base, tmp_path / "adapters" / f"client-{k}", rank=rank, factor=factor, seed=k)
    audited = CliRunner().invoke(app, ["audit", str(tmp_path / "adapters"), "--json"])
    assert audited.exit_code == 3, audited.output
    dropped = {client["id"] for client in json.loads(audited.stdout)["clients"] if not client["accepted"]}
    assert dropped == {f"client-{FLIPPED}", f"client-{SCALED}"}

    # 32 is the smaller side of every layer, so that nothing is lost.
    arguments = ["--rule", "multi-krum:f=2", "--rank", "32", "-o", str(tmp_path / "merged"), "--json"]
    done = CliRunner().invoke(app, ["aggregate", str(tmp_path / "adapters"), *arguments])
    assert done.exit_code == 3, done.output
    told = json.loads(done.stdout)
    weights = dict(zip(told["ids"], told["weights"], strict=True))
    assert weights[f"client-{FLIPPED}"] == weights[f"client-{SCALED}"] == 0

    tokens = torch.randint(0, 97, (3, 11), generator=torch.Generator().manual_seed(2))
    expected = copy.deepcopy(base)
    with torch.no_grad():
        for name, weight in weights.items():
            if weight:
                one = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "adapters" / name).merge_and_unload()
                for mean, its, start in zip(expected.parameters(), one.parameters(), base.parameters(), strict=True):
                    mean.add_(weight * (its - start))
        merged = PeftModel.from_pretrained(copy.deepcopy(base), tmp_path / "merged").eval()
        change = (expected(tokens).logits - base(tokens).logits).abs().max()
        torch.testing.assert_close(merged(tokens).logits, expected(tokens).logits, rtol=0, atol=1e-5 * float(change))


def test_names_count_in_whatever_order_a_client_wrote_them(tmp_path: Path) -> None:
    orders = (["q", "v", "k"], ["v", "q", "k"], ["k", "v", "q"], ["v", "k", "q"])
    for (name, layers), order in zip(clients(flipped=None, scaled=None).items(), orders, strict=False):
        write(tmp_path / "adapters" / name, layers, target_modules=order, layers_to_transform=[0])
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["aggregate", str(tmp_path / "adapters"), "--rule", "mean", "--raw", "-o", str(out)])
    assert done.exit_code == 0, done.output
    settings = json.loads((out / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["k", "q", "v"]
    assert settings["layers_to_transform"] == [0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"use_dora": True}, "has use_dora: what it changes is no product of its factors"),
        ({"lora_bias": True}, "has lora_bias: what it changes is no product of its factors"),
        ({"alora_invocation_tokens": [1, 2]}, "has alora_invocation_tokens"),
        ({"target_parameters": ["experts.weight"]}, "has target_parameters"),
        ({"init_lora_weights": "pissa_niter_16"}, "has init_lora_weights pissa_niter_16, which changes the model"),
        ({"init_lora_weights": {"a": 1}}, "has init_lora_weights"),
        ({"init_lora_weights": "gaussian", "lora_bias": False, "target_parameters": None}, ""),
    ],
)
def test_what_is_no_product_of_factors_is_a_verdict(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    for k, (name, layers) in enumerate(clients(flipped=None, scaled=None).items()):
        write(tmp_path / name, layers, **(settings if k == 1 else {}))
    done = CliRunner().invoke(app, ["audit", str(tmp_path), "--json"])
    found = {client["id"]: client for client in json.loads(done.stdout)["clients"]}
    assert found["client-1"]["accepted"] == (not says), found["client-1"]
    assert says in (found["client-1"]["detail"] or "")
