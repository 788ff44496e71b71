"""Whole models without a base: a rule sees what they have in common, and whoever hands them over is told, once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.core import RawWeightsWarning
from fedward.stack import Dense, Files, Layers
from fedward.stack.alike import sampled_nearness


def base_model() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"a.weight": torch.randn(20, 30, generator=generator), "a.bias": torch.randn(20, generator=generator)}


def updates(n: int = 8) -> list[dict[str, Tensor]]:
    """Honest ones, and the last with its sign flipped."""
    generator = torch.Generator().manual_seed(4)
    base = base_model()
    common = {name: torch.randn(t.shape, generator=generator) for name, t in base.items()}
    signs = [1.0] * (n - 1) + [-1.0]
    return [
        {name: 0.03 * sign * (common[name] + torch.randn(t.shape, generator=generator)) for name, t in base.items()}
        for sign in signs
    ]


def models() -> list[dict[str, Tensor]]:
    base = base_model()
    return [{name: base[name] + change[name] for name in base} for change in updates()]


def layers(sent: list[dict[str, Tensor]]) -> list[list[Tensor]]:
    return [list(client.values()) for client in sent]


def files(folder: Path, sent: list[dict[str, Tensor]]) -> list[Path]:
    paths = [folder / f"client-{k}.safetensors" for k in range(len(sent))]
    for path, client in zip(paths, sent, strict=True):
        save_file(client, path)
    return paths


def test_models_without_a_base_are_told_once_with_the_share_and_the_remedies(tmp_path: Path) -> None:
    paths = files(tmp_path, models())
    pairs = [(10, client) for client in models()]
    by_id = dict(zip("abcdefgh", models(), strict=True))
    for given in (models(), pairs, by_id, layers(models()), Files(paths)):
        aggregator = fw.Aggregator(rules.Median())
        with pytest.warns(RawWeightsWarning, match=r"differ by [\d.]+% of their length.*base=.*filterwarnings") as told:
            first = aggregator(given)
        assert len(told) == 1
        assert told[0].filename == __file__  # where the models were handed over
        second = aggregator(given)  # which would be an error here, were it told again
        assert first.accepted.tolist() == second.accepted.tolist()


def test_nobody_is_told_who_has_a_base_or_sent_updates_or_rows(tmp_path: Path) -> None:
    sent, base = models(), base_model()
    paths = files(tmp_path, sent)
    flat = torch.stack([torch.cat([t.flatten() for t in client.values()]) for client in sent])
    # Who gave a base is not told that what clients changed is alike.
    alike = [{name: 2 * base[name] + 0.01 * change[name] for name in base} for change in updates()]
    (tmp_path / "alike").mkdir()
    silent: list[tuple[Any, dict[str, Any]]] = [
        (sent, {"base": base}),
        (sent, {"base": "median-of-clients"}),
        (Files(paths, base=base), {}),
        (alike, {"base": base}),
        (Files(files(tmp_path / "alike", alike), base=base), {}),
        (updates(), {}),
        (layers(updates()), {}),
        (flat, {}),
        (flat.numpy(), {}),
        (list(flat), {}),
        (Dense(flat), {}),
        (Layers(layers(sent)), {}),
    ]
    for given, options in silent:
        fw.Aggregator(rules.Median())(given, **options)


def test_what_comes_out_is_the_same_to_the_bit() -> None:
    flat = torch.stack([torch.cat([t.flatten() for t in client.values()]) for client in models()])
    expected = fw.Aggregator(rules.MultiKrum(f=1), seed=1)(flat)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RawWeightsWarning)
        result = fw.Aggregator(rules.MultiKrum(f=1), seed=1)(models())
    assert torch.equal(result.output, expected.output)
    assert result.accepted.tolist() == expected.accepted.tolist()
    # Whoever makes it an error has an aggregator that is as it was.
    aggregator = fw.Aggregator(rules.Median())
    with pytest.raises(RawWeightsWarning):
        aggregator(models())
    assert aggregator.round == 0


class Counting(Dense):
    """Rows that count the entries that are read of them."""

    entries = 0

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = super().read(start, stop, rows)
        self.entries += block.numel()
        return block


def test_a_bounded_share_of_many_long_rows_is_looked_at_and_tells_the_same() -> None:
    random = np.random.default_rng(5)
    start = random.standard_normal(200_000).astype(np.float32)
    rows = torch.from_numpy(start + 0.05 * random.standard_normal((150, 200_000), dtype=np.float32))
    stack = Counting(rows)
    found = sampled_nearness(stack)
    assert stack.entries <= 64 * 65_536
    assert found == pytest.approx(0.05 * 2**0.5, rel=0.05)
    assert stack.columns_read == 0
    assert sampled_nearness(Counting(rows - torch.from_numpy(start))) is None


def test_a_file_that_changes_before_it_is_looked_at_is_one_clients_verdict(tmp_path: Path) -> None:
    paths = files(tmp_path, models())
    stack = Files(paths)
    paths[2].write_bytes(paths[2].read_bytes()[:-400])
    with pytest.warns(RawWeightsWarning):
        result = fw.Aggregator(rules.Median())(stack)
    assert [str(reason) for reason in result.reasons].count("malformed") == 1
    assert str(result.reasons[2]) == "malformed"
