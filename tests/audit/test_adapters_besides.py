"""What an adapter has besides its factors: running statistics of layers trained whole; and a base among the clients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from fedward import rules
from fedward.audit import ModelSource, run_aggregate, run_audit
from fedward.cli.app import app
from tests.audit.test_adapters import clients, write

MEAN, VARIANCE, COUNT = (
    f"base_model.model.bn.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
)
WEIGHT = "base_model.model.bn.weight"


def batch_norm(seed: int) -> dict[str, Tensor]:
    """A BatchNorm layer in modules_to_save, as a client has it."""
    generator = torch.Generator().manual_seed(seed)
    return {
        WEIGHT: 1 + 0.1 * torch.randn(6, generator=generator),
        MEAN: 0.1 * torch.randn(6, generator=generator),
        VARIANCE: 1 + 0.1 * torch.rand(6, generator=generator),
        COUNT: torch.tensor(100 + seed),
    }


def sent(folder: Path, changed: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Eight adapters of rank 4, all honest but for what is changed of their BatchNorm."""
    layers = {name: (A, B) for name, (A, B) in clients(None, None)["client-0"].items()}
    norms = {}
    for k in range(8):
        name = f"client-{k}"
        turned = {layer: (A, B * (1 + 0.1 * k)) for layer, (A, B) in layers.items()}
        write(folder / name, turned, modules_to_save=["bn"])
        norms[name] = {**batch_norm(k), **changed.get(name, {})}
        file = folder / name / "adapter_model.safetensors"
        save_file({**load_file(file), **norms[name]}, file)
    return norms


@pytest.mark.parametrize("merge", ["svd", "average"])
@pytest.mark.parametrize("policy", ["robust", "mean"])
def test_running_statistics_of_layers_trained_whole_are_in_the_output(policy: str, merge: str, tmp_path: Path) -> None:
    folder = tmp_path / "adapters"
    norms = sent(folder, {"client-5": {VARIANCE: torch.full((6,), 1e4), MEAN: torch.full((6,), 50.0)}})
    rule = "krum:f=2" if merge == "average" else "mean"
    words = ["aggregate", str(folder), "--raw", "--rule", rule, "-o", str(tmp_path / "out"), "--batch-norm", policy]
    done = CliRunner().invoke(app, [*words, "--merge", merge, "--json"])
    told = json.loads(done.stdout)
    written = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {MEAN, VARIANCE, COUNT, WEIGHT} <= written.keys()
    accepted = [name for name, ok in zip(told["ids"], told["accepted"], strict=True) if ok]
    for name in (MEAN, VARIANCE):
        of = accepted if policy == "mean" else list(norms)
        middle = np.mean if policy == "mean" else np.median
        expected = middle([norms[client][name].double().numpy() for client in of], axis=0)
        np.testing.assert_allclose(written[name].numpy(), expected, rtol=1e-5)
    assert int(written[COUNT]) == sorted(int(norms[client][COUNT]) for client in accepted)[(len(accepted) - 1) // 2]
    odd, fate = told["notes"][-2:]
    assert odd.startswith("running statistics of client-5: base_model.model.bn.running_mean is ")
    assert fate.startswith("2 tensors of running statistics: no rule judges them; the output has their ")


def test_statistics_that_cannot_be_are_a_verdict(tmp_path: Path) -> None:
    bad = {
        "client-1": {VARIANCE: torch.full((6,), -1.0)},
        "client-2": {COUNT: torch.tensor(10**12)},
        "client-3": {MEAN: torch.full((6,), torch.nan)},
    }
    sent(tmp_path / "adapters", bad)
    source = ModelSource(clients=[tmp_path / "adapters"], raw=True)
    audit = run_audit(source)
    result = run_aggregate(source, rules.Median()).result
    expected = {"client-1": "malformed", "client-2": "malformed", "client-3": "nonfinite"}
    for k, name in enumerate(audit.names):
        if name in expected:
            assert audit.reasons[k] == str(result.reasons[result.ids.index(name)]) == expected[name]
    assert "is a variance, and below 0: -1" in audit.details["client-1"]
    assert "bn.running_mean" in audit.details["client-3"]
    assert audit.notes[-1].startswith("2 tensors of running statistics")


def test_a_copy_of_the_base_among_adapters_is_left_out_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "adapters"
    sent(folder, {})
    shutil.copytree(folder / "client-7", tmp_path / "v1.0")
    shutil.copytree(tmp_path / "v1.0", folder / "v1.0")
    source = ModelSource(clients=[folder], base=tmp_path / "v1.0")
    for notes, names in (
        (run_audit(source).notes, run_audit(source).names),
        ((done := run_aggregate(source, rules.Median())).notes, done.gathered.names),
    ):
        assert "v1.0 is the base, and no client" in notes
        assert names == tuple(f"client-{k}" for k in range(8))
    config = folder / "v1.0" / "adapter_config.json"  # another scale: another adapter, which a client sent
    config.write_text(config.read_text().replace("16.0", "17.0"))
    assert "v1.0" in run_audit(source).names
