"""Types, names, forms and ids of what clients send, where nobody sends anything odd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import Reason, rules
from fedward.stack import SqNorms, as_updates, materialise
from tests.stack.test_oddities import FORMS, HONEST, RULES, coo, honest_rows, odd_row, state

pytestmark = pytest.mark.filterwarnings("ignore::fedward.core.RawWeightsWarning")  # most of a row is in common here

# --- types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float16"] * 2 + ["float32"] * 3, "float32"),
        (["float64"] * 2 + ["float32"] * 3, "float32"),
        (["float32"] * 2 + ["float16"] * 3, "float16"),
        (["float32"] * 2 + ["float64"] * 2, "float64"),
        (["float16", "float64", "float32"], "float32"),
    ],
)
def test_the_type_is_that_of_most(form: str, dtypes: list[str], expected: str) -> None:
    rows = honest_rows().clamp(-2, 2)
    clients = [FORMS[form](row.to(getattr(torch, dtype))) for row, dtype in zip(rows, dtypes, strict=False)]
    found = [fw.Aggregator(rules.Median())(some).output for some in (clients, clients[::-1])]
    assert [str(output.dtype).removeprefix("torch.") for output in found] == [expected] * 2
    assert torch.equal(*found)


def test_statistics_are_in_float64_of_what_was_sent() -> None:
    rows = [torch.full((3,), 0.1, dtype=dtype) for dtype in (torch.float16, torch.float32, torch.float32)]
    (norms,) = as_updates(rows).compute(SqNorms())
    expected = [float(row.double().square().sum()) for row in rows]
    assert norms.tolist() == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("form", FORMS)
def test_like_fixes_the_type(form: str) -> None:
    clients = [FORMS[form](row) for row in honest_rows()]
    like = FORMS[form](odd_row().double())
    result = fw.Aggregator(rules.Mean())(clients, like=like)
    assert result.output.dtype == torch.float64
    torch.testing.assert_close(result.output, honest_rows().double().mean(0), rtol=1e-12, atol=0)
    with pytest.raises((ValueError, TypeError), match="the model's"):
        fw.Aggregator(rules.Mean())(clients, like={"other": torch.ones(4)} if form != "rows" else torch.ones(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_like_gives_names_to_rows(dtype: torch.dtype) -> None:
    like = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state(odd_row()).items()}
    like["bn._extra_state"] = {"the server's": "own"}
    G = honest_rows().clamp(-2, 2)
    for made in (G, list(G), dict(enumerate(G))):
        result = fw.Aggregator(rules.Median())(made, like=like)
        found = result.state_dict()
        assert [*found] == [*like]
        assert found["bn._extra_state"] == {"the server's": "own"}
        assert found["w"].dtype == dtype
        assert found["w"].flatten().tolist() == G[:, :8].quantile(0.5, dim=0).to(dtype).tolist()
        assert torch.equal(found["bn.running_mean"], like["bn.running_mean"])  # nobody sent any
        assert int(found["bn.num_batches_tracked"]) == 7
    layers = [[*state(row).values()] for row in G]
    found = fw.Aggregator(rules.Median())(layers, like=like).state_dict()
    assert [*found] == [*like]
    if dtype != torch.bfloat16:
        by_array = fw.Aggregator(rules.Median())(G.numpy(), like=like)
        assert isinstance(by_array.output, np.ndarray)
        assert by_array.state_dict()["w"].dtype == dtype
    else:
        with pytest.raises(TypeError, match="which no array can be"):
            fw.Aggregator(rules.Median())(G.numpy(), like=like)


# --- new forms ----------------------------------------------------------------------------------------------


def test_every_way_to_hand_over_rows() -> None:
    G = honest_rows()
    expected = rules.Median()(G)
    for form in FORMS.values():
        clients = [form(row) for row in G]
        by_id = dict(zip(HONEST, clients, strict=True))
        pairs = [(10 * i, client) for i, client in enumerate(clients)]
        for made in (clients, tuple(clients), iter(clients), (c for c in clients), by_id.values(), by_id, pairs):
            result = fw.Aggregator(rules.Median())(made)
            assert torch.equal(result.output, expected)
            assert result.ids == (tuple(HONEST) if made is by_id else tuple(range(6)))
    layers = fw.Aggregator(rules.Median())([FORMS["layers"](row) for row in G]).state_dict()
    assert [tuple(layer.shape) for layer in layers.values()] == [(2, 4), (4,)]
    with pytest.raises(ValueError, match="ids are the keys of the mapping"):
        as_updates(by_id, ids=HONEST)


def test_numbers_of_examples_are_messages() -> None:
    heard: list[Mapping[Any, Any]] = []

    class Listens(rules.Mean):
        def decide(self, updates: Any, state: Any, context: fw.Context) -> fw.Plan:
            heard.append(context.messages)
            return super().decide(updates, state, context)

    G = honest_rows()[:3]
    pairs = [(5, state(G[0])), (state(G[1]), 7), ("many", state(G[2]))]
    fw.Aggregator(Listens())(pairs, ids=["a", "b", "c"], messages={"b": {"alarm": True}, "c": {"num-examples": 3}})
    weights = fw.Aggregator(rules.Mean(weighted=True))([(1, G[0]), (3, G[1]), (0, G[2])]).weights
    assert weights.tolist() == [0.25, 0.75, 0]
    torch.testing.assert_close(rules.Mean(weighted=True)([(1, G[0]), (3, G[1])]), (G[0] + 3 * G[1]) / 4)
    assert heard == [
        {"a": {"num-examples": 5}, "b": {"num-examples": 7, "alarm": True}, "c": {"num-examples": 3}},
    ]


def test_nested_and_sparse_stacks_are_rows() -> None:
    G = honest_rows()
    nested = torch.nested.nested_tensor(list(G), layout=torch.jagged)
    assert torch.equal(materialise(as_updates(nested)), G)
    assert torch.equal(materialise(as_updates(G.to_sparse())), G)


def test_sparse_rows_stay_sparse() -> None:
    """A row of 10^9 columns, of which it holds three."""
    d = 10**9
    rows = [coo([[0, i, d - 1]], [1.0, 2, 3], d) for i in (5, 6, 7)]
    updates = as_updates(rows)
    assert updates.read(0, 8).tolist() == [[1, 0, 0, 0, 0, *([0] * k), 2, *([0] * (2 - k))] for k in range(3)]
    assert updates.read(d - 2, d, torch.tensor([1])).tolist() == [[0, 3]]


# --- ids ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [torch.arange(3), np.arange(3), [torch.tensor(i) for i in range(3)], range(3)])
def test_ids_compare_by_value(ids: Any) -> None:
    assert as_updates(honest_rows()[:3], ids=ids).ids == (0, 1, 2)
    assert all(isinstance(name, int | np.integer) for name in as_updates(list(honest_rows()[:3]), ids=ids).ids)


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([["a"], ["b"], ["c"]], "ids must be hashable, got ['a'] of type list"),
        ([torch.ones(2)] * 3, "ids are whole numbers or strings, got tensor([1., 1.])"),
        (torch.ones(3), "ids are whole numbers or strings, got tensor(1.)"),
        ([0, 1, float("nan")], "ids must be equal to themselves, got nan"),
        ({"a", "b", "c"}, "ids come in the order of the rows, and a set has none"),
    ],
)
def test_ids_that_no_memory_can_go_by(ids: Any, text: str) -> None:
    for G in (honest_rows()[:3], list(honest_rows()[:3])):
        with pytest.raises(TypeError, match=re.escape(text)):
            as_updates(G, ids=ids)


# --- too large ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 3])
def test_what_is_finite_is_not_called_nan(place: int) -> None:
    G = honest_rows().double()
    for odd, reason in ((1e200, Reason.OVERFLOW), (torch.nan, Reason.NONFINITE), (torch.inf, Reason.NONFINITE)):
        row = torch.full((12,), odd, dtype=torch.float64)
        hostile = torch.cat([G[:place], row[None], G[place:]])
        for made in (hostile, list(hostile), hostile.numpy(), [state(r) for r in hostile]):
            for rule in RULES:
                result = fw.Aggregator(rule)(made)
                assert result.reasons[place] is reason
                told = result.details.get(place, "").removeprefix("NaN or Inf in bn.running_mean")
                assert (told != "") == (reason is Reason.OVERFLOW)
                torch.testing.assert_close(torch.as_tensor(result.output), rule(G), rtol=1e-12, atol=0)
        singles = [r.float() for r in G]
        singles.insert(place, row)  # what float64 holds and float32 does not
        result = fw.Aggregator(RULES[1])(singles)
        assert result.reasons[place] is reason
        assert torch.equal(result.output, RULES[1](G.float()))
    for value in (1e60, -1e300):  # of a float64 row among float32 ones, wherever it stands
        singles[place] = torch.full((12,), value, dtype=torch.float64)
        for rule in RULES:
            result = fw.Aggregator(rule)(singles)
            assert result.reasons[place] is Reason.OVERFLOW
            assert torch.equal(result.output, rule(G.float()))
