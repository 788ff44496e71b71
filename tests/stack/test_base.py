"""Weights seen as differences from a base: everything equals what NumPy makes of the differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.core import RawWeightsWarning
from fedward.stack import Files, as_updates, materialise

N = 9


def base() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return {
        "w": torch.randn(30, 20, generator=generator),
        "b": torch.randn(20, generator=generator).double(),
        "half": torch.randn(4, 5, generator=generator).to(torch.bfloat16),
        "bn.running_var": torch.ones(20),
        "batches": torch.tensor(5),
    }


def client(k: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(100 + k)
    start = base()
    moved = {name: start[name] for name in ("bn.running_var", "batches")}
    for name in ("w", "b", "half"):
        step = 0.001 * torch.randn(start[name].shape, generator=generator, dtype=torch.float64)
        sign = -1 if k == 0 else 1
        moved[name] = (start[name].double() + sign * (0.002 + step)).to(start[name].dtype)
    return moved


def rows() -> np.ndarray:
    """The differences, by NumPy."""
    start = base()
    return np.stack(
        [
            np.concatenate(
                [(client(k)[name].double() - start[name].double()).numpy().ravel() for name in ["w", "b", "half"]]
            )
            for k in range(N)
        ]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(base(), tmp_path / "base.safetensors")
    for k in range(N):
        save_file(client(k), tmp_path / f"client-{k}.safetensors")
    return tmp_path


def stacks(folder: Path) -> dict[str, fw.Updates]:
    clients = sorted(folder.glob("client-*"))
    return {
        "files": Files(clients, base=folder / "base.safetensors"),
        "files, small blocks": Files(clients, base=base(), block=7),
        "memory": as_updates([client(k) for k in range(N)], base=base()),
    }


def by_name(stack: fw.Updates, row: Tensor) -> Tensor:
    """A row with its layers in the order of `rows`: files are sorted by name."""
    assert stack.layout is not None
    parts = dict(stack.layout.slices())
    return torch.cat([row[parts[name]] for name in ["w", "b", "half"]])


def test_rows_are_the_differences(folder: Path) -> None:
    for name, stack in stacks(folder).items():
        found = torch.stack([by_name(stack, row) for row in materialise(stack).double()])
        np.testing.assert_array_equal(found.numpy(), rows(), err_msg=name)
        np.testing.assert_allclose(stack.gram().numpy(), rows() @ rows().T, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("rule", [rules.Mean(), rules.Median(), rules.SignGuard(), rules.MultiKrum(f=2)])
def test_the_output_is_the_base_and_the_aggregate(folder: Path, rule: fw.Rule) -> None:
    aggregate = rule(rows())
    start = base()
    for stack in stacks(folder).values():
        result = fw.Aggregator(rule)(stack)
        state = result.state_dict()
        assert {k: (v.shape, v.dtype) for k, v in state.items()} == {k: (v.shape, v.dtype) for k, v in start.items()}
        at = 0
        for layer in ("w", "b", "half"):
            end = at + start[layer].numel()
            expected = start[layer].double().flatten() + torch.from_numpy(aggregate[at:end])
            eps = torch.finfo(start[layer].dtype).eps
            torch.testing.assert_close(state[layer].double().flatten(), expected, rtol=eps, atol=1e-9)
            at = end


def test_the_rule_sees_what_clients_changed_and_not_their_weights(folder: Path) -> None:
    raw = [client(k) for k in range(N)]
    with pytest.warns(RawWeightsWarning):
        unseen = fw.Aggregator(rules.SignGuard())(raw)
    assert bool(unseen.accepted[0])  # the sign-flipped one hides among raw weights
    for result in (
        fw.Aggregator(rules.SignGuard())(raw, base=base()),
        fw.Aggregator(rules.SignGuard())(Files(sorted(folder.glob("client-*")), base=folder / "base.safetensors")),
    ):
        assert result.accepted.tolist() == [False, *[True] * (N - 1)]


def test_a_row_or_a_list_of_layers_may_be_the_base_too() -> None:
    G = torch.arange(12.0).reshape(3, 4)
    one = fw.Aggregator(rules.Mean())(G, base=torch.ones(4))
    torch.testing.assert_close(one.output, G.mean(0))
    assert as_updates(G, base=torch.ones(4)).norms()[0] == pytest.approx(float((G[0] - 1).norm()))
    layers = [[row[:1], row[1:]] for row in G]
    listed = as_updates(layers, base=[torch.ones(1), torch.ones(3)])
    torch.testing.assert_close(materialise(listed), G - 1)
    np.testing.assert_allclose(
        rules.Median()(as_updates(G.numpy(), base=np.ones(4, dtype=np.float32))), G.median(0).values
    )


@pytest.mark.parametrize(("centre", "reduced"), [("mean-of-clients", np.mean), ("median-of-clients", np.median)])
def test_a_centre_of_the_clients_may_stand_for_a_base(centre: str, reduced: object, folder: Path) -> None:
    G = torch.randn(5, 40, dtype=torch.float64)
    poisoned = torch.cat([G, torch.full((1, 40), torch.nan, dtype=torch.float64)])
    found = materialise(as_updates(poisoned, base=centre)).numpy()  # type: ignore[call-overload]
    np.testing.assert_allclose(found[:5], G.numpy() - reduced(G.numpy(), axis=0), atol=1e-12)  # type: ignore[operator]
    result = fw.Aggregator(rules.Mean())(poisoned, base=centre)  # type: ignore[call-overload]
    torch.testing.assert_close(result.output, G.mean(0))
    on_disk = fw.Aggregator(rules.Mean())(Files(sorted(folder.glob("client-*")), base=centre))
    expected = torch.stack([client(k)["w"] for k in range(N)]).mean(0)
    torch.testing.assert_close(on_disk.state_dict()["w"], expected)


def test_a_bad_base_is_an_error(tmp_path: Path, folder: Path) -> None:
    clients = sorted(folder.glob("client-*"))
    broken = base() | {"w": torch.full((30, 20), torch.nan)}
    with pytest.raises(ValueError, match="the base has NaN or Inf in w"):
        as_updates([client(0)], base=broken)
    with pytest.raises(ValueError, match="give one of them"):
        as_updates([client(0)], base=base(), like=base())
    with pytest.raises(ValueError, match="'mean-of-clients' or 'median-of-clients', got 'mean'"):
        as_updates([client(0)], base="mean")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="the base: there is no file"):
        Files(clients, base=tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="belong to the stack"):
        fw.Aggregator(rules.Mean())(Files(clients), base=base())
    with pytest.raises(ValueError, match="needs a client whose row is finite"):
        as_updates(torch.full((2, 3), torch.nan), base="mean-of-clients")
    fits_not = fw.Aggregator(rules.Mean())([client(0), {"w": torch.zeros(2)}], base=base(), on_bad="drop")
    assert str(fits_not.reasons[1]) == "malformed"
