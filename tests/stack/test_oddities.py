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
from fedward.stack import Files

pytestmark = pytest.mark.filterwarnings("ignore::fedward.core.RawWeightsWarning")  # most of a row is in common here

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


def coo(places: list[list[int]], values: list[float], d: int, check: bool = True) -> Tensor:
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
            "b": coo([[3, 0, 1, 2, 3]], [0.5, *row[8:11].tolist(), float(row[11]) - 0.5], 4),
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
    "sparse of another shape": ("rows", coo([[0]], [1.0], 10**15), "row has shape (10000"),
    "sparse with a place that is not there": (
        "rows",
        coo([[99]], [1.0], 12, check=False),
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
    for on_bad in ("raise", "drop"):  # to leave clients out would help nobody
        with pytest.raises(TypeError, match=r"any of the 2 clients\); nothing is left: have clients send"):
            fw.Aggregator(rules.Mean())([None, 3], on_bad=on_bad)


def test_what_every_client_keeps_in_its_state_dict_besides_tensors() -> None:
    sent = [{"w": torch.ones(3), "_extra_state": {"scale": i}} for i in range(3)]
    for clients in (sent, sent[:1]):
        for on_bad in ("raise", "drop"):
            with pytest.raises(TypeError, match=r"client 0: _extra_state is of type dict.* may stay .* if like=, the"):
                fw.Aggregator(rules.Mean())(clients, on_bad=on_bad)
        result = fw.Aggregator(rules.Mean())(clients, like=sent[0])
        assert result.state_dict()["_extra_state"] == {"scale": 0}


def test_too_few_that_are_well_formed() -> None:
    aggregate = fw.Aggregator(rules.Krum(f=2))
    clients = [torch.ones(4)] * 6 + [torch.ones(3)]
    with pytest.raises(
        fw.BoundError,
        match=r"got 6 \(f is at most 1\) \(6 of 7 clients sent well-formed updates; client 6: row has shape",
    ):
        aggregate(clients, on_bad="drop")
    assert aggregate.round == 0
