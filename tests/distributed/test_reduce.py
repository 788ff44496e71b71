"""The robust all-reduce, as training uses it, and what processes are told when one of them does not play along."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.stack import Files
from fedward.stack.written import save_tensors
from tests.distributed import reduces
from tests.distributed.processes import spread

SIZE = 4


@cache
def told() -> list[dict[str, Any]]:
    outcomes = spread(reduces.reduced, SIZE)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def everybodys(what: str) -> list[Any]:
    return [outcome[what] for outcome in told()]


# --- good -----------------------------------------------------------------------------------------------------


def test_tensors_become_the_aggregate_in_place() -> None:
    one = rules.CGE(f=1)(reduces.matrix())
    for outcome in everybodys("in place"):
        torch.testing.assert_close(outcome["written"], one)
        assert outcome["written"].equal(outcome["output"])
        assert outcome["accepted"] == [True, True, True, False]
        assert outcome["state"] == {str(k): shape for k, shape in enumerate(reduces.SHAPES)}
        assert outcome["same"]


def test_an_aggregator_remembers_its_columns() -> None:
    aggregator = fw.Aggregator(rules.CenteredClipping(radius=2.0), seed=5)
    for k in range(3):
        one = aggregator(reduces.matrix()).output
        for outputs in everybodys("rounds"):
            torch.testing.assert_close(outputs[k], one)


def test_a_process_with_nan_is_dropped_on_all_alike() -> None:
    one = rules.TrimmedMean(f=1)(reduces.matrix()[[0, 2, 3]])
    for outcome in everybodys("nan"):
        assert outcome["reasons"] == ["accepted", "nonfinite", "accepted", "accepted"]
        torch.testing.assert_close(outcome["output"], one)


def test_tensors_keep_their_types() -> None:
    one = rules.Median()(reduces.matrix(torch.bfloat16))
    for outcome in everybodys("half"):
        assert outcome["types"] == ["torch.float32"] + 3 * ["torch.bfloat16"]
        assert outcome["dtype"] == "torch.bfloat16"
        assert outcome["alone"].equal(one)


def by_hand(rule: fw.Rule) -> torch.Tensor:
    """The training of `reduces.trained` in one process."""
    model = reduces.network()
    aggregator = fw.Aggregator(rule, seed=1)
    for step in range(reduces.STEPS):
        rows = []
        for rank in range(SIZE):
            inputs, labels = reduces.batch(rank, step)
            loss = nn.functional.cross_entropy(model(inputs), labels)
            rows.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))]))
        moved = nn.utils.parameters_to_vector(model.parameters()).detach() - 0.5 * aggregator(torch.stack(rows)).output
        nn.utils.vector_to_parameters(moved, model.parameters())
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def test_ddp_decides_over_the_whole_gradient() -> None:
    expected = by_hand(rules.CenteredClipping(radius=0.1))  # short, so that what is remembered counts
    for outcome in everybodys("model"):
        torch.testing.assert_close(outcome["row"], expected, rtol=1e-4, atol=1e-6)
        assert outcome["verdicts"] == [1] * reduces.STEPS


def test_ddp_decides_bucket_by_bucket_if_told_to() -> None:
    expected = by_hand(rules.Median())  # column by column it is the same
    for outcome in everybodys("bucket"):
        torch.testing.assert_close(outcome["row"], expected, rtol=1e-4, atol=1e-6)
        assert min(outcome["verdicts"][1:]) > 1  # DDP deals out its buckets after the first pass


def test_sharded_tensors_are_decided_as_whole_rows() -> None:
    rows = torch.stack([reduces.gradients(0)[0].reshape(-1), -3 * reduces.gradients(1)[0].reshape(-1)])
    one = fw.Aggregator(rules.Huber(threshold=1.0))(rows)
    for outcome in everybodys("grid"):
        torch.testing.assert_close(outcome["whole"].reshape(-1), one.output)
        torch.testing.assert_close(torch.tensor(outcome["weights"]), one.weights.float())


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("replicated", "placement R"),
        ("partial", "placement P"),
        ("mixed", "some tensors are DTensors and some are not"),
        ("two dimensions", "must be sharded over one mesh of one dimension"),
    ],
)
def test_what_is_not_sharded_into_columns_is_refused(case: str, said: str) -> None:
    for outcome in everybodys("grid"):
        assert outcome["refused"][case].startswith("TypeError: ")
        assert said in outcome["refused"][case]


def test_each_process_reads_its_columns_of_files(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    base = {"a": torch.randn(30, 20, generator=generator), "b": torch.randn(13, generator=generator)}
    save_tensors(tmp_path / "base.safetensors", base)
    for k in range(5):
        moved = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in base.items()}
        save_tensors(tmp_path / f"client{k}.safetensors", moved)
    files = Files(sorted(tmp_path.glob("client*.safetensors")), base=tmp_path / "base.safetensors")
    one = fw.Aggregator(rules.Median())(files).state_dict()
    for outcome in spread(reduces.from_files, 2, str(tmp_path)):
        assert outcome["state"].keys() == one.keys()
        assert all(outcome["state"][name].equal(value) for name, value in one.items())
        assert outcome["passes"] == pytest.approx(1, abs=0.01)  # two passes over half of the columns


# --- wrong ----------------------------------------------------------------------------------------------------

ODD = 2
DIFFERENT = {
    "shapes": "tensors: rank 2 has ['(7, 11) torch.float32', '(11,) torch.float32', '() torch.float32'], rank 0 has",
    "dtypes": "tensors: rank 2 has ['(9,) torch.float64'], rank 0 has ['(9,) torch.float32']",
    "rules": "rule: rank 2 has Median(), rank 0 has Mean(",
    "seeds": "seed: rank 2 has 1, rank 0 has 0",
    "columns": "rows have 9, 10 columns on different processes",
    "ids": "rank 0 gives no ids and others do",
    "statistics": "the processes do different things (rank 0: sum 16, rank 1: sum 16, rank 2: sum 4, rank 3: sum 16)",
    "weights": "rank 2 decided otherwise than rank 0",
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_processes_that_differ_are_all_told(case: str) -> None:
    for outcome in everybodys("hostile"):
        assert outcome[case].startswith("PeerError: ")
        assert DIFFERENT[case] in outcome[case]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("integers", "TypeError: tensor 0 is torch.int64"),
        ("no gradient", "TypeError: tensor 0 is NoneType"),
        ("own rule", "OSError: the disk is full"),
    ],
)
def test_a_process_that_fails_tells_the_others(case: str, said: str) -> None:
    for rank, outcome in enumerate(everybodys("hostile")):
        if rank == ODD:
            assert outcome[case].startswith(said)
        else:
            assert outcome[case].startswith("PeerError: another process failed")
            assert f"rank 2: {said}" in outcome[case]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("nothing", "ValueError: there is nothing to reduce"),
        ("too few", "BoundError: Krum(f=2, bound='theorem') needs n >= 2f + 3 = 7 clients, got 4"),
        ("too narrow", "ValueError: 4 processes cannot share out 3 columns"),
        ("same id", "ValueError: ids must be distinct, 'a' occurs more than once"),
    ],
)
def test_what_is_wrong_everywhere_is_raised_everywhere(case: str, said: str) -> None:
    for outcome in everybodys("hostile"):
        assert outcome[case].startswith(said)


# --- silent ---------------------------------------------------------------------------------------------------


def test_a_process_that_dies_is_missed_at_once() -> None:
    (why, seconds), dead = spread(reduces.one_dies, 2, silence=60)
    assert dead is None
    assert why.startswith("PeerError: rank 0 of 2: the others do not answer")
    assert seconds < 30


def test_a_process_that_hangs_is_missed_after_the_timeout(tmp_path: Path) -> None:
    (why, seconds), _ = spread(reduces.one_sleeps, 2, str(tmp_path), silence=3)
    assert why.startswith("PeerError: rank 0 of 2: the others do not answer")
    assert 2 < seconds < 15


def test_without_a_process_group_the_remedy_is_said() -> None:
    why = reduces.no_group()
    assert why.startswith("RuntimeError: there is no process group: start the processes with torchrun")


def test_a_hook_that_decides_by_bucket_has_no_memory() -> None:
    from fedward.distributed import robust_hook

    with pytest.raises(ValueError, match="remembers earlier rounds"):
        robust_hook(rules.CenteredClipping(radius=1.0), scope="bucket")
    with pytest.raises(ValueError, match='scope is "model" or "bucket"'):
        robust_hook(rules.Median(), scope="layer")  # type: ignore[arg-type]
