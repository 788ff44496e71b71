"""LoRA adapters of different ranks: verdicts and outputs are those of the products, which are never multiplied out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

import fedward as fw
from fedward.audit import AuditError, gather
from fedward.cli.app import app
from fedward.stack import Gram, materialise
from tests.oracles import lora

LAYERS = {"base_model.model.q": (20, 12), "base_model.model.v": (9, 15)}
RANKS = (4, 6, 8, 10, 12, 16, 5, 9)
ALPHA = 16.0

Layers = Mapping[str, tuple[Tensor, Tensor]]


def factors(change: Tensor, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """A and B of a rank whose product, with its scale, is near a change; turned about by an invertible matrix."""
    U, S, Vh = torch.linalg.svd(change.double())
    kept = min(rank, len(S))
    turn = torch.randn(rank, rank, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 3 * torch.eye(
        rank
    )
    B = torch.zeros(change.shape[0], rank, dtype=torch.float64)
    A = torch.zeros(rank, change.shape[1], dtype=torch.float64)
    B[:, :kept] = U[:, :kept] * S[:kept]
    A[:kept] = Vh[:kept] * (rank / ALPHA)
    return (torch.linalg.solve(turn, A)).float(), (B @ turn).float()


def clients(flipped: int | None = 3, scaled: int | None = 6) -> dict[str, Layers]:
    generator = torch.Generator().manual_seed(5)
    common = {name: torch.randn(shape, generator=generator) for name, shape in LAYERS.items()}
    found: dict[str, Layers] = {}
    for i, rank in enumerate(RANKS):
        factor = -1.0 if i == flipped else 10.0 if i == scaled else 1.0
        found[f"client-{i}"] = {
            name: factors(factor * (common[name] + 0.7 * torch.randn(shape, generator=generator)), rank, i)
            for name, shape in LAYERS.items()
        }
    return found


def write(folder: Path, layers: Layers, *, suffix: str = ".safetensors", **settings: object) -> None:
    folder.mkdir(parents=True)
    tensors = {}
    for name, (A, B) in layers.items():
        tensors[f"{name}.lora_A.weight"] = A.contiguous()
        tensors[f"{name}.lora_B.weight"] = B.contiguous()
    rank = next(iter(layers.values()))[0].shape[0]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": ALPHA, "target_modules": ["q", "v"], **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if suffix == ".bin":
        torch.save(tensors, folder / "adapter_model.bin")
    else:
        save_file(tensors, folder / "adapter_model.safetensors")


@pytest.fixture
def adapters(tmp_path: Path) -> Path:
    for k, (name, layers) in enumerate(clients().items()):
        write(tmp_path / "adapters" / name, layers, suffix=".bin" if k == 2 else ".safetensors")
    return tmp_path / "adapters"


def dense() -> np.ndarray:
    return np.stack(
        [lora.row({n: (A.numpy(), B.numpy()) for n, (A, B) in layers.items()}, ALPHA) for layers in clients().values()]
    )


def output(folder: Path) -> np.ndarray:
    settings = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    layers = {
        name: (tensors[f"{name}.lora_A.weight"].numpy(), tensors[f"{name}.lora_B.weight"].numpy()) for name in LAYERS
    }
    assert {A.shape[0] for A, _ in layers.values()} == {settings["r"]}
    return lora.row(layers, settings["lora_alpha"])


def test_rows_and_inner_products_are_those_of_the_products(adapters: Path) -> None:
    stack = gather([adapters], raw=True).stack
    G = dense()
    assert stack.ids == tuple(clients())
    np.testing.assert_allclose(materialise(stack).numpy(), G, rtol=1e-4, atol=1e-4)
    before = stack.columns_read
    np.testing.assert_allclose(stack.compute(Gram())[0].numpy(), G @ G.T, rtol=1e-9)
    assert stack.columns_read == before  # not an entry was multiplied out
    rows = stack.read(3, 200, torch.tensor([5, 1]))
    np.testing.assert_allclose(rows.numpy(), G[[5, 1], 3:200], atol=1e-9)


def test_eight_adapters_of_ranks_4_to_16_get_the_right_verdicts(adapters: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(adapters), "--json"])
    assert done.exit_code == 3, done.output
    found = {client["id"]: client for client in json.loads(done.stdout)["clients"]}
    dropped = {name: client["reason"] for name, client in found.items() if not client["accepted"]}
    assert dropped.keys() == {"client-3", "client-6"}
    assert dropped["client-6"] == "norm-too-large"
    assert found["client-3"]["evidence"]["cosine_to_median"] < 0


def test_a_factor_and_its_inverse_do_not_hide(tmp_path: Path) -> None:
    layers = clients()["client-0"]
    hidden = {name: (A * 1e3, B / 1e3) for name, (A, B) in layers.items()}
    flipped = {name: (-A, -B) for name, (A, B) in layers.items()}
    for name, sent in (("a", layers), ("b", hidden), ("c", flipped)):
        write(tmp_path / "x" / name, sent)
    stack = gather([tmp_path / "x"], raw=True).stack
    gram = stack.gram()
    torch.testing.assert_close(gram / gram[0, 0], torch.ones(3, 3, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("rank", [3, 12, 40])
@pytest.mark.parametrize("rule", ["mean", "multi-krum:f=2", "median", "trimmed-mean:f=2"])
def test_the_output_is_the_nearest_adapter_of_a_rank(adapters: Path, tmp_path: Path, rule: str, rank: int) -> None:
    arguments = ["aggregate", str(adapters), "--rule", rule, "-o", str(tmp_path / "out"), "--rank", str(rank)]
    done = CliRunner().invoke(app, [*arguments, "--raw"])
    assert done.exit_code in (0, 3), done.output
    aggregate = fw.parse(rule, "rule")(dense())
    expected, at = [], 0
    for _, (height, width) in sorted(LAYERS.items()):
        matrix = aggregate[at : at + height * width].reshape(height, width)
        expected.append(lora.nearest_of_rank(matrix, rank).ravel())
        at += height * width
    np.testing.assert_allclose(output(tmp_path / "out"), np.concatenate(expected), atol=2e-4 * np.abs(aggregate).max())


def test_with_a_base_rows_are_differences_and_the_output_adds_it(adapters: Path, tmp_path: Path) -> None:
    start = {
        name: factors(torch.randn(shape, generator=torch.Generator().manual_seed(9)), 7, 1)
        for name, shape in LAYERS.items()
    }
    write(tmp_path / "base", start)
    b = lora.row({n: (A.numpy(), B.numpy()) for n, (A, B) in start.items()}, ALPHA)
    stack = gather([adapters], base=tmp_path / "base").stack
    D = dense() - b
    np.testing.assert_allclose(stack.gram().numpy(), D @ D.T, rtol=1e-7)
    np.testing.assert_allclose(materialise(stack).numpy(), D, atol=1e-3)
    for rule in ("clip-mean", "median"):
        out = tmp_path / rule
        arguments = ["aggregate", str(adapters), "--rule", rule, "-o", str(out), "--rank", "40"]
        done = CliRunner().invoke(app, [*arguments, "--base", str(tmp_path / "base")])
        assert done.exit_code == 0, done.output
        expected = b + fw.parse(rule, "rule")(D)
        np.testing.assert_allclose(output(out), expected, atol=1e-3)


def test_factors_are_averaged_where_ranks_agree_and_not_where_they_do_not(adapters: Path, tmp_path: Path) -> None:
    for k in range(3):
        layers = {name: (torch.full((2, w), k + 1.0), torch.full((h, 2), 1.0)) for name, (h, w) in LAYERS.items()}
        write(tmp_path / "same" / f"{k}", layers)
    arguments = ["--rule", "mean", "--merge", "average", "--raw", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, ["aggregate", str(tmp_path / "same"), *arguments]).exit_code == 0
    found = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert all(bool((tensor == 2).all()) for name, tensor in found.items() if "lora_A" in name)
    done = CliRunner().invoke(app, ["aggregate", str(adapters), *arguments[:-1], str(tmp_path / "other")])
    assert done.exit_code == 2
    assert "ranks or scales differ" in " ".join(done.output.split())
    assert not (tmp_path / "other").exists()
    again = CliRunner().invoke(app, ["aggregate", str(tmp_path / "same"), *arguments])
    assert again.exit_code == 2
    assert "is there already" in " ".join(again.output.split())


def test_scales_convolutions_and_embeddings_are_as_their_configuration_says(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    conv_A = torch.randn(4, 3, 5, 5, generator=generator)
    conv_B = torch.randn(6, 4, 1, 1, generator=generator)
    emb_A, emb_B = torch.randn(4, 30, generator=generator), torch.randn(8, 4, generator=generator)
    folder = tmp_path / "one"
    folder.mkdir()
    tensors = {
        "m.conv.lora_A.weight": conv_A,
        "m.conv.lora_B.weight": conv_B,
        "m.emb.lora_embedding_A": emb_A,
        "m.emb.lora_embedding_B": emb_B,
        "m.head.weight": torch.ones(2, 3),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"conv": 2}, "use_rslora": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    stack = gather([folder], raw=True).stack
    row = materialise(stack)[0].double().numpy()
    conv = lora.change(conv_A.reshape(4, -1).numpy(), conv_B.reshape(6, 4).numpy(), 2, stabilised=True)
    emb = lora.change(emb_A.numpy(), emb_B.numpy(), 8, stabilised=True)
    assert stack.layout is not None
    assert stack.layout.names == ("m.conv", "m.emb", "m.head.weight")
    np.testing.assert_allclose(row, np.concatenate([conv.ravel(), emb.ravel(), np.ones(6)]), rtol=1e-5, atol=1e-5)
    done = CliRunner().invoke(app, ["aggregate", str(folder), "--rule", "mean", "--raw", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {name: tensor.shape for name, tensor in written.items()} == {n: t.shape for n, t in tensors.items()}


@pytest.mark.parametrize(
    ("settings", "spoilt", "says"),
    [
        ({"peft_type": "IA3"}, {}, "is an adapter of type IA3"),
        ({"use_dora": True}, {}, "use_dora"),
        ({"lora_alpha": 1e300}, {}, "lora_alpha is 1e+300"),
        ({"lora_alpha": "8"}, {}, "lora_alpha is 8"),
        ({"alpha_pattern": {"(a+)+$": 1}}, {}, "name layers instead"),
        ({}, {"base_model.model.q.lora_A.weight": torch.zeros(3, 12)}, "A has rank 3, B has"),
        (
            {},
            {"base_model.model.q.lora_A.weight": torch.full((4, 12), torch.nan)},
            "NaN or Inf in base_model.model.q.lora_A",
        ),
        ({}, {"base_model.model.q.lora_A.weight": torch.zeros(4, 13)}, "has shape (20, 13)"),
        ({}, {"base_model.model.q.lora_A.weight": None}, "has B, but A and B are due"),
        ({}, {"base_model.model.q.lora_A.weight": torch.zeros(4)}, "a factor is a matrix"),
    ],
)
def test_one_bad_adapter_is_a_verdict(
    adapters: Path, settings: dict[str, object], spoilt: dict[str, Tensor | None], says: str
) -> None:
    folder = adapters / "client-0"
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    tensors = {**load_file(folder / "adapter_model.safetensors"), **spoilt}
    save_file({name: t for name, t in tensors.items() if t is not None}, folder / "adapter_model.safetensors")
    done = CliRunner().invoke(app, ["audit", str(adapters), "--json"])
    assert done.exit_code == 3, done.output
    found = {client["id"]: client for client in json.loads(done.stdout)["clients"]}
    assert found["client-0"]["reason"] in ("malformed", "nonfinite")
    assert says in found["client-0"]["detail"]
    assert found["client-1"]["accepted"]


def test_rules_that_add_noise_are_refused(adapters: Path, tmp_path: Path) -> None:
    arguments = ["aggregate", str(adapters), "--raw", "-o", str(tmp_path / "out"), "--rule"]
    done = CliRunner().invoke(app, [*arguments, "flame"])
    assert done.exit_code == 2
    assert "flame:noise=0" in done.output
    assert CliRunner().invoke(app, [*arguments, "flame:noise=0"]).exit_code == 3


def test_a_base_of_other_layers_is_to_blame_and_not_the_first_client(adapters: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", {"base_model.model.k": factors(torch.ones(20, 12), 4, 0)})
    with pytest.raises(
        AuditError, match=r"no client fits this base: the base has .*model\.k.*, which client-0 has not"
    ):
        gather([adapters], base=tmp_path / "other")


def test_what_rounding_leaves_of_an_adapter_that_fits_is_no_loss(tmp_path: Path) -> None:
    """Copies of one adapter of rank 4 fit into rank 4; those of rank 8 with something in every direction do not."""
    for rank, lost in ((4, False), (8, True)):
        generator = torch.Generator().manual_seed(rank)
        layers = {
            name: (torch.randn(rank, shape[1], generator=generator), torch.randn(shape[0], rank, generator=generator))
            for name, shape in LAYERS.items()
        }
        for i in range(6):
            write(tmp_path / f"rank-{rank}" / f"client-{i}", layers)
        words = ["aggregate", str(tmp_path / f"rank-{rank}"), "--raw", "--rank", "4", "-o", str(tmp_path / f"m{rank}")]
        done = CliRunner().invoke(app, [*words, "--rule", "mean"])
        assert done.exit_code == 0, done.output
        assert ("rank 4 has no room for" in done.output) == lost, done.output


def test_what_a_rank_has_no_room_for_is_told_by_its_length(adapters: Path, tmp_path: Path) -> None:
    mean, at, off = dense().mean(0), 0, []
    for _, (height, width) in sorted(LAYERS.items()):
        matrix = mean[at : at + height * width].reshape(height, width)
        off.append(np.linalg.norm(matrix - lora.nearest_of_rank(matrix, 3)) / np.linalg.norm(matrix))
        at += height * width
    words = ["aggregate", str(adapters), "--raw", "--rule", "mean", "--rank", "3", "-o", str(tmp_path / "out")]
    printed = " ".join(CliRunner().invoke(app, words).output.split())
    assert f"the layer that loses most is off by {max(off):.1%} of its change" in printed
