"""The same weights are the same, whatever order a format has for tensors: a rule that draws columns draws the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.audit import ModelSource, run_aggregate, run_audit
from fedward.stack import Files
from fedward.stack.written import save_tensors

FORMATS = (".pt", ".npz", ".safetensors")


def models() -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """A model whose tensors are in another order than their names, and in two types, and twelve clients' of it."""
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.ReLU(), torch.nn.Linear(20, 5))
    base = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    base["0.bias"] = base["0.bias"].double()
    draws = torch.Generator().manual_seed(5)
    clients = {}
    for k in range(12):
        clients[f"site-{k}"] = {
            name: (0.02 + 0.1 * torch.randn(value.shape, generator=draws)).to(value.dtype)
            for name, value in base.items()
        }
    return base, clients


@pytest.mark.parametrize("rule", [rules.SignGuard(), rules.DnC(f=2, subsample=200, iterations=1)], ids=repr)
def test_a_format_s_order_decides_nothing(rule: fw.Rule, tmp_path: Path) -> None:
    base, clients = models()
    assert list(base) != sorted(base)
    told = {}
    for suffix in FORMATS:
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        places = [save_tensors(folder / f"{name}{suffix}", model) for name, model in clients.items()]
        for of_base in FORMATS:
            start = save_tensors(tmp_path / f"base{of_base}", base)
            done = run_aggregate(ModelSource(clients=[*map(str, places)], base=start), rule, seed=3)
            told[suffix, of_base] = done.result
            if suffix == of_base == ".safetensors":
                told["files", of_base] = fw.Aggregator(rule, seed=3)(Files(places, base=start))
    one = told[".pt", ".pt"]
    assert list(one.state_dict()) == list(base)
    assert not all(one.accepted)
    for how, other in told.items():
        assert other.accepted.tolist() == one.accepted.tolist(), how
        assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items()), how


def test_layers_are_shown_in_the_model_s_order(tmp_path: Path) -> None:
    base, clients = models()
    places = [save_tensors(tmp_path / f"{name}.pt", model) for name, model in clients.items()]
    start = save_tensors(tmp_path / "base.pt", base)
    evidence = run_audit(ModelSource(clients=[*map(str, places)], base=start)).evidence
    assert evidence is not None
    assert list(evidence.layers) == list(base)
    for k, name in enumerate(base):
        norm = clients["site-3"][name].double().norm()
        assert torch.isclose(evidence.layer_norms[evidence.ids.index("site-3"), k], norm)
