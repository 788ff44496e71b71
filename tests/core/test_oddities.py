"""One client that sends something odd, wherever it stands: nothing changes for the others, and it is the one named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import Reason, mixers, rules
from fedward.stack import Files, SqNorms, as_updates, materialise

RULES = [rules.Mean(), rules.Median(), mixers.ClipNorm(radius="median") >> rules.MultiKrum(f=1)]
HONEST, ODD = [f"honest-{i}" for i in range(6)], "the-odd-one"
Make = Callable[[Tensor], Any]


def honest_rows() -> Tensor:
    """Small whole numbers, which every type holds, beside what float16 does not hold."""
    rows = torch.randint(-2, 3, (6, 12), generator=torch.Generator().manual_seed(1)).float()
    rows[:, 3], rows[:, 7] = 1e5, 1e-8
    return rows


def odd_row() -> Tensor:
    return torch.tensor([1.0, -2, 0, 2, 1, 1, -1, 0, 2, -2, 1, 1])


def state(row: Tensor) -> dict[str, Any]:
    return {
        "w": row[:8].reshape(2, 4).clone(),
        "b": row[8:].clone(),
        "bn.running_mean": row[:2].clone(),
        "bn.num_batches_tracked": torch.tensor(7),
    }


def arrays(row: Tensor) -> dict[str, Any]:
    return {name: t.numpy() for name, t in state(row).items()}


FORMS: dict[str, Make] = {
    "rows": lambda row: row.clone(),
    "arrays": lambda row: row.numpy().copy(),
    "layers": lambda row: [row[:8].reshape(2, 4).clone(), row[8:].numpy().copy()],
    "state dicts": state,
    "state dicts of arrays": arrays,
}


def with_odd(form: str, odd: Any, place: int) -> tuple[list[Any], list[str]]:
    clients, ids = [FORMS[form](row) for row in honest_rows()], list(HONEST)
    clients.insert(place, odd)
    ids.insert(place, ODD)
    return clients, ids


def same(a: fw.Result[Tensor], b: fw.Result[Tensor], ids: list[str]) -> None:
    """The same aggregate, to the bit, and the same verdict on these clients."""
    assert a.output.dtype == b.output.dtype == torch.float32
    assert torch.equal(a.output, b.output)
    for values, others in [(a.accepted, b.accepted), *([(a.weights, b.weights)] if a.weights is not None else [])]:
        assert [values[a.ids.index(i)].item() for i in ids] == [others[b.ids.index(i)].item() for i in ids]
    assert [a.reasons[a.ids.index(i)] for i in ids] == [b.reasons[b.ids.index(i)] for i in ids]
    if a.layout is not None and b.layout is not None:
        ours, theirs = a.state_dict(), b.state_dict()
        assert [*ours] == [*theirs]
        for name, value in ours.items():
            assert value.dtype == theirs[name].dtype
            assert torch.equal(value, theirs[name])


def _coo(places: list[list[int]], values: list[float], d: int, check: bool = True) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor(places), torch.tensor(values), (d,), check_invariants=check)


# --- what only looks odd ------------------------------------------------------------------------------------

FLOATS = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64]
LOOKS: dict[str, tuple[str, Make]] = {
    **{f"row in {t}": ("rows", lambda row, t=t: row.to(t)) for t in FLOATS},
    **{f"layers in {t}": ("layers", lambda row, t=t: [row[:8].reshape(2, 4).to(t), row[8:].to(t)]) for t in FLOATS},
    **{
        f"state dict in {t}": (
            "state dicts",
            lambda row, t=t: {k: v.to(t) if v.is_floating_point() else v for k, v in state(row).items()},
        )
        for t in FLOATS
    },
    **{
        f"{kind} array": ("arrays", lambda row, kind=kind: row.numpy().astype(kind))
        for kind in ("float16", "float64", "longdouble", ">f4", ">f8")
    },
    "big-endian state dict": (
        "state dicts of arrays",
        lambda row: {k: v.astype(v.dtype.newbyteorder(">")) for k, v in arrays(row).items()},
    ),
    "counter in another type": (
        "state dicts",
        lambda row: {**state(row), "bn.num_batches_tracked": torch.tensor(7, dtype=torch.int16)},
    ),
    "sparse row": ("rows", lambda row: row.to_sparse()),
    "sparse state dict": ("state dicts", lambda row: {**state(row), "w": state(row)["w"].to_sparse()}),
    "hybrid": ("state dicts", lambda row: {**state(row), "w": state(row)["w"].to_sparse(1)}),
    "not coalesced": (
        "state dicts",
        lambda row: {
            **state(row),
            "b": _coo([[3, 0, 1, 2, 3]], [0.5, *row[8:11].tolist(), float(row[11]) - 0.5], 4),
        },
    ),
    "compressed": ("state dicts", lambda row: {**state(row), "w": state(row)["w"].to_sparse_csr()}),
    "keys in another order": ("state dicts", lambda row: dict(reversed(state(row).items()))),
    "arrays among tensors": ("state dicts", arrays),
    "an array among rows": ("rows", lambda row: row.numpy()),
    "a row that requires grad": ("rows", lambda row: row.clone().requires_grad_()),
    "with its number of examples": ("state dicts", lambda row: (40, state(row))),
    "with its number of examples after it": ("layers", lambda row: (FORMS["layers"](row), 40)),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("look", LOOKS)
def test_what_only_looks_odd_changes_nothing(look: str) -> None:
    form, make = LOOKS[look]
    for place in (0, 3, 6):
        clients, ids = with_odd(form, make(odd_row()), place)
        plain, _ = with_odd(form, FORMS[form](odd_row()), place)
        for rule in RULES:
            same(fw.Aggregator(rule)(clients, ids=ids), fw.Aggregator(rule)(plain, ids=ids), ids)


def test_tied_tensors_in_some_clients_and_two_in_others() -> None:
    def tied(row: Tensor, names: str) -> dict[str, Tensor]:
        weight = row[:8].reshape(2, 4).clone()
        return dict.fromkeys(names, weight) | {"c": row[8:].clone()}

    def apart(row: Tensor, names: str) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in tied(row, names).items()}

    rows = honest_rows()
    for most, few in ((tied, tied), (tied, apart), (apart, tied)):
        plain = fw.Aggregator(rules.Mean())([most(row, "ab") for row in rows])
        for place in range(6):
            clients = [few(row, "ab") if i == place else most(row, "ab") for i, row in enumerate(rows)]
            same(fw.Aggregator(rules.Mean())(clients), plain, [*range(6)])
    for names in ("a", "b"):  # a client that says only one of the names, as `named_parameters` does
        clients = [tied(row, names if i == 2 else "ab") for i, row in enumerate(rows)]
        same(
            fw.Aggregator(rules.Mean())(clients),
            fw.Aggregator(rules.Mean())([tied(row, "ab") for row in rows]),
            [*range(6)],
        )
        clients = [tied(row, "ab" if i == 2 else names) for i, row in enumerate(rows)]
        same(
            fw.Aggregator(rules.Mean())(clients),
            fw.Aggregator(rules.Mean())([tied(row, names) for row in rows]),
            [*range(6)],
        )
    odd = [tied(row, "ab") for row in rows[:5]] + [apart(rows[5], "a")]
    assert fw.Aggregator(rules.Mean())(odd).state_dict().keys() == {"a", "b", "c"}
    with pytest.raises(ValueError, match=r"client 5: state dict lacks \['b'\]"):
        fw.Aggregator(rules.Mean())([apart(row, "ab") for row in rows[:5]] + [apart(rows[5], "a")])


# --- what is odd --------------------------------------------------------------------------------------------


def _without(entries: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if key != name}


with warnings.catch_warnings():  # a form that PyTorch gives up, which old clients may send all the same
    warnings.simplefilter("ignore")
    _quantised = torch.quantize_per_tensor(torch.ones(12), 0.1, 0, torch.quint8)
ODDITIES: dict[str, tuple[str, Any, str]] = {
    "nothing": ("rows", None, "got NoneType"),
    "text": ("rows", "abc", "got str"),
    "short row": ("rows", torch.ones(11), "row has shape (11,), most clients' has (12,)"),
    "row of another form": ("rows", torch.ones(1, 12), "row has shape (1, 12), rows are (d,)"),
    "scalar": ("rows", torch.tensor(1.0), "row has shape ()"),
    "dict among rows": ("rows", state(odd_row()), "sent a state dict, most clients' is a row"),
    "complex row": ("rows", torch.ones(12).to(torch.complex64), "row is torch.complex64"),
    "meta row": ("rows", torch.ones(12, device="meta"), "row is a meta tensor"),
    "integer row": ("rows", torch.ones(12).long(), "row is torch.int64"),
    "quantised row": ("rows", _quantised, "row is torch.quint8; updates are floating point; send its dequantize()"),
    "sparse of another shape": ("rows", _coo([[0]], [1.0], 10**15), "row has shape (10000"),
    "sparse with a place that is not there": (
        "rows",
        _coo([[99]], [1.0], 12, check=False),
        "tensor that cannot be read",
    ),
    "text array": ("arrays", np.array(["a"] * 12), "row is an array of <U1"),
    "object array": ("arrays", np.array([None] * 12), "row is an array of object"),
    "dates": ("arrays", np.zeros(12, "datetime64[s]"), "row is an array of datetime64[s]"),
    "masked array": ("arrays", np.ma.masked_array(np.ones(12), np.arange(12) > 3), "row is a masked array"),
    "complex array": ("arrays", np.ones(12, complex), "row is an array of complex128"),
    "beyond float64": ("arrays", np.full(12, np.longdouble("1e400")), "with values beyond float64's"),
    "one layer": ("layers", [torch.ones(2, 4)], "sent 1 layers, most clients' are 2"),
    "three layers": ("layers", [torch.ones(2, 4), *[torch.ones(4)] * 2], "sent 3 layers, most clients' are 2"),
    "no layers": ("layers", [], "got list"),
    "layers the other way round": ("layers", [torch.ones(4), torch.ones(2, 4)], "layer 0 has shape (4,)"),
    "layers of layers": ("layers", [[torch.ones(2, 4)], torch.ones(4)], "layer 0 is of type list"),
    "row among layers": ("layers", torch.ones(12), "sent a row, most clients' is a list of layers"),
    "missing key": ("state dicts", _without(state(odd_row()), "b"), "state dict lacks ['b'] and adds []"),
    "missing counter": ("state dicts", _without(state(odd_row()), "bn.num_batches_tracked"), "lacks ['bn.num_"),
    "empty": ("state dicts", {}, "state dict lacks ['b', 'bn.num_batches_tracked', 'bn.running_mean', 'w']"),
    "extra key": ("state dicts", {**state(odd_row()), "z": torch.ones(1)}, "lacks [] and adds ['z']"),
    "key of another type": ("state dicts", {**state(odd_row()), 1: torch.ones(1)}, "lacks [] and adds [1]"),
    "other shape": ("state dicts", {**state(odd_row()), "w": torch.ones(4, 2)}, "w has shape (4, 2), most"),
    "other shape of a buffer": (
        "state dicts",
        {**state(odd_row()), "bn.running_mean": torch.ones(3)},
        "bn.running_mean has shape (3,)",
    ),
    "integers": ("state dicts", {**state(odd_row()), "w": torch.ones(2, 4).byte()}, "w is torch.uint8, most clients'"),
    "a counter that is no number": (
        "state dicts",
        {**state(odd_row()), "bn.num_batches_tracked": torch.tensor(torch.nan)},
        "bn.num_batches_tracked is torch.float32, most clients' is integer",
    ),
    "extra state": (
        "state dicts",
        {**state(odd_row()), "bn._extra_state": {"a": 1}},
        "bn._extra_state is of type dict, not a tensor",
    ),
    "number for a tensor": ("state dicts", {**state(odd_row()), "b": 1.0}, "b is of type float"),
    "nested": (
        "state dicts",
        {**state(odd_row()), "b": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)},
        "b is a nested tensor",
    ),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_the_odd_one_is_named_and_dropped(oddity: str) -> None:
    form, odd, text = ODDITIES[oddity]
    plain = [FORMS[form](row) for row in honest_rows()]
    for place in range(7):
        clients, ids = with_odd(form, odd, place)
        with pytest.raises((TypeError, ValueError), match=re.escape(text)) as error:
            fw.Aggregator(RULES[0])(clients, ids=ids)
        assert f"client {ODD!r}: " in str(error.value)
        assert not any(name in str(error.value) for name in HONEST)
        rule = RULES[place % 3]
        result = fw.Aggregator(rule)(iter(clients), ids=ids, on_bad="drop")
        same(result, fw.Aggregator(rule)(plain, ids=HONEST), HONEST)
        assert result.ids == tuple(ids)
        assert result.reasons[place] is Reason.MALFORMED
        assert (bool(result.accepted[place]), len(result.accepted)) == (False, 7)
        assert result.weights is None or (len(result.weights), float(result.weights[place])) == (7, 0.0)
        assert all(len(score) == 7 and score[place].isnan() for score in result.scores.values())
        assert text in result.details[ODD]
        assert f"{ODD}: " in result.table()


def test_an_odd_file_is_named_and_dropped(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in HONEST]
    for path, row in zip(files, honest_rows(), strict=True):
        save_file(state(row), path)
    expected = fw.Aggregator(RULES[2])(Files(files))
    odd = tmp_path / f"{ODD}.safetensors"
    contents: dict[str, Any] = {
        "there is no file": None,
        "is damaged or no safetensors file": b"\xff" * 40,
        "is damaged or no": b"",
        "state dict lacks ['b'] and adds []": _without(state(odd_row()), "b"),
        "w has shape (4, 2), most clients' has (2, 4)": {**state(odd_row()), "w": torch.ones(4, 2)},
        "w is torch.uint8, most clients' is floating point": {**state(odd_row()), "w": torch.ones(2, 4).byte()},
    }
    for text, content in contents.items():
        odd.unlink(missing_ok=True)
        if isinstance(content, bytes):
            odd.write_bytes(content)
        elif content is not None:
            save_file(content, odd)
        for place in (0, 4, 6):
            paths = [*files[:place], odd, *files[place:]]
            with pytest.raises((ValueError, TypeError, FileNotFoundError), match=re.escape(text)) as error:
                Files(paths)
            assert str(odd) in str(error.value)
            assert f"client {ODD!r}: " in str(error.value)
            result = fw.Aggregator(RULES[2])(Files(paths, on_bad="drop"))
            same(result, expected, HONEST)
            assert (result.reasons[place], result.ids[place]) == (Reason.MALFORMED, ODD)
            assert text in result.details[ODD]
            assert str(odd) in result.details[ODD]
    found = []
    for dtype in (torch.float32, torch.float16, torch.float64):
        save_file({k: v.to(dtype) if v.is_floating_point() else v for k, v in state(odd_row()).items()}, odd)
        found.append(fw.Aggregator(RULES[2])(Files([odd, *files])))
    for other in found[1:]:
        same(other, found[0], [ODD, *HONEST])


def test_without_a_majority_nothing_is_guessed() -> None:
    rows = [*[torch.ones(3)] * 3, *[torch.ones(4)] * 3]
    for clients in (rows, rows[::-1], [*rows, None]):
        for on_bad in ("raise", "drop"):
            with pytest.raises((ValueError, TypeError)) as error:
                fw.Aggregator(rules.Mean())(clients, on_bad=on_bad)
            assert "like=" in str(error.value) or (on_bad == "raise" and None in clients)
        result = fw.Aggregator(rules.Mean())(clients, like=torch.zeros(4), on_bad="drop")
        assert int(result.accepted.sum()) == 3
        assert result.output.tolist() == [1] * 4
    with pytest.raises(TypeError, match="nothing usable came from any of the 2 clients"):
        fw.Aggregator(rules.Mean())([None, 3], on_bad="drop")


def test_too_few_that_are_well_formed() -> None:
    aggregate = fw.Aggregator(rules.Krum(f=2))
    clients = [torch.ones(4)] * 6 + [torch.ones(3)]
    with pytest.raises(
        fw.BoundError, match=r"got 6 \(6 of 7 clients sent well-formed updates; client 6: row has shape"
    ):
        aggregate(clients, on_bad="drop")
    assert aggregate.round == 0


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
    rows = [_coo([[0, i, d - 1]], [1.0, 2, 3], d) for i in (5, 6, 7)]
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
                assert (place in result.details) == (reason is Reason.OVERFLOW)
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
