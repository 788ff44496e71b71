"""Models of other libraries: with the libraries where they are installed, and with stand-ins everywhere."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedward import Context, Simulation, clients, rules, sim
from fedward.clients import LocalModel
from fedward.failures import install
from fedward.models import build_model
from fedward.models.adapters import MissingPackageError


def works(package: str) -> bool:
    """Whether a package is there and fits the PyTorch that is installed."""
    if importlib.util.find_spec(package) is None:
        return False
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError):
        return False
    return True


class Adapted(nn.Module):
    """A linear layer with an adapter of rank r, as peft has it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.base_layer(inputs) + self.lora_B(self.lora_A(inputs))


def stand_in() -> types.ModuleType:
    """What of peft is used."""
    peft = types.ModuleType("peft")

    def inject(config: Any, model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        found = [n for n, m in model.named_modules() if n.rpartition(".")[2] in config.target_modules]
        if not found:
            raise ValueError(f"Target modules {config.target_modules} not found in the base model.")
        for name in found:
            home, _, last = name.rpartition(".")
            setattr(model.get_submodule(home), last, Adapted(model.get_submodule(name), config.r))
        return model

    peft.LoraConfig = lambda **given: SimpleNamespace(**given)
    peft.inject_adapter_in_model = inject
    return peft


@pytest.fixture(params=["stand-in", "peft"])
def peft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "peft", stand_in())
    elif not works("peft"):
        pytest.skip("peft is not installed: pip install peft")


LORA = "lora:base='text-transformer:width=8,heads=2,depth=1,dropout=0',rank=2"


def text(classes: int = 3) -> sim.FederatedData:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 20, (60, 6), generator=generator)
    split = sim.Split(inputs=tokens, labels=tokens.sum(1) % classes)
    return sim.federate(sim.Dataset(name="own", train=split, test=split, classes=classes), 3)


@pytest.mark.usefixtures("peft")
def test_only_adapters_and_the_last_layer_are_sent() -> None:
    run = Simulation(
        model=lambda shape, classes: build_model(LORA, shape, classes, 20),
        data=text(),
        rule=rules.Mean(),
        clients=clients.Gradient(batch_size=8),
        threads=1,
    )
    before = {name: value.clone() for name, value in run.backend.local.module.state_dict().items()}
    list(run.run(3))
    # A and B of two layers of 8 x 8 at rank 2, and 8 x 3 weights with 3 biases.
    assert run.rows.shape == (3, 2 * (2 * 8 + 8 * 2) + 27)
    assert {name.split(".")[-3 if "default" in name else -2] for name in run.parameters()} == {
        "lora_A", "lora_B", "output"
    }  # fmt: skip
    after = run.backend.local.module.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved <= set(run.parameters())
    assert run.backend.together  # frozen layers are nobody's gradients, and passes are shared all the same


@pytest.mark.usefixtures("peft")
def test_an_adapter_does_nothing_at_first() -> None:
    torch.manual_seed(0)
    plain = build_model("text-transformer:width=8,heads=2,depth=1,dropout=0", (6,), 3, 20)
    torch.manual_seed(0)
    adapted = build_model(LORA, (6,), 3, 20)
    tokens = torch.arange(12).view(2, 6)
    assert torch.equal(plain(tokens), adapted(tokens))


@pytest.mark.usefixtures("peft")
def test_layers_that_are_not_there_are_named() -> None:
    with pytest.raises(ValueError, match=r"has no layers called nowhere .* linear ones are layers\.0\.query, "):
        build_model(LORA + ",targets=('nowhere',)", (6,), 3, 20)
    with pytest.raises(ValueError, match=r"has no layers called nothing; linear ones are"):
        build_model(LORA + ",whole=('nothing',)", (6,), 3, 20)
    assert sum(p.requires_grad for p in build_model(LORA + ",whole=('key', 'output')", (6,), 3, 20).parameters()) == 8


@pytest.mark.usefixtures("peft")
def test_frozen_weights_are_part_of_a_run_s_identity() -> None:
    def identity(seed: int) -> object:
        torch.manual_seed(seed)
        base = build_model(LORA, (6,), 3, 20)
        for name, parameter in base.named_parameters():
            if parameter.requires_grad:
                nn.init.zeros_(parameter)
            assert parameter.requires_grad == ("lora" in name or "output" in name)
        run = Simulation(model=base, data=text(), rule=rules.Mean(), clients=clients.Gradient(batch_size=8), threads=1)
        return run.identity["initial parameters"]

    assert identity(1) == identity(1)
    assert identity(1) != identity(2)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, text, extra in [
        ("timm", "timm:name=x", "timm"),
        ("peft", LORA, "peft"),
        ("transformers", "hugging-face:name=x", "peft"),
    ]:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingPackageError, match=re.escape(f"needs {package}: {install(extra)}")):
            build_model(text)


def test_timm_is_asked_for_the_data_s_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def create_model(name: str, **given: Any) -> nn.Module:
        asked.append({"name": name, **given})
        if name == "unheard":
            raise RuntimeError("Unknown model (unheard)")
        if name == "convolutions" and given.keys() & {"img_size", "patch_size"}:
            raise TypeError("unexpected keyword argument 'img_size'")
        return nn.Linear(1, given["num_classes"])

    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    usual = {"pretrained": False, "num_classes": 5, "in_chans": 2}
    build_model("timm:name=vit,patch=4", (2, 8, 9), 5)
    assert asked == [{"name": "vit", **usual, "img_size": (8, 9), "patch_size": 4}]
    assert build_model("timm:name=convolutions", (2, 8, 9), 5).out_features == 5
    assert asked[-1] == {"name": "convolutions", **usual}
    with pytest.raises(ValueError, match="has no patches: leave out patch, got 4"):
        build_model("timm:name=convolutions,patch=4", (2, 8, 9), 5)
    with pytest.raises(ValueError, match=r"timm makes no 'unheard': Unknown model .*list_models"):
        build_model("timm:name=unheard", (2, 8, 9), 5)


@pytest.mark.skipif(not works("timm"), reason="timm is not installed: pip install timm")
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224,patch=8", "mobilenetv3_small_050"])
def test_timm_s_models_train(name: str) -> None:
    model = LocalModel(build_model(f"timm:name={name}", (3, 32, 32), 5))
    with model.seeded(Context(seed=1).draw_seed("model")):
        gradient, loss = model.gradient(torch.randn(4, 3, 32, 32), torch.arange(4))
    assert gradient.isfinite().all()
    assert 0 < float(loss) < 10


@pytest.mark.skipif(not works("transformers"), reason="transformers is not installed: pip install transformers")
def test_hugging_face_s_models_train(tmp_path: Any) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=2
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    for kind in ("", ",pretrained=false"):
        model = LocalModel(build_model(f"hugging-face:name='{tmp_path}'{kind}", (6,), 5))
        gradient, _ = model.gradient(torch.randint(1, 30, (4, 6)), torch.arange(4))
        assert gradient.isfinite().all()
    with pytest.raises(ValueError, match="knows 30 tokens, and the data have 31: "):
        build_model(f"hugging-face:name='{tmp_path}'", (6,), 5, 31)
    adapted = build_model(f"lora:base=\"hugging-face:name='{tmp_path}'\"", (6,), 5, 30)
    assert adapted(torch.randint(1, 30, (4, 6))).shape == (4, 5)
