"""What clients and callers send: every accepted form, and errors that name the value and the remedy."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.core import BoundError
from fedward.stack import Dense, Layers, as_updates, materialise


def random_rows(n=5, d=12, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- accepted forms -----------------------------------------------------------------------------------------

FORMS = {
    "tensor": lambda G: G,
    "array": lambda G: G.numpy(),
    "list of tensors": list,
    "tuple of tensors": lambda G: tuple(G),
    "list of arrays": lambda G: list(G.numpy()),
    "tensors and arrays": lambda G: [row.numpy() if i % 2 else row for i, row in enumerate(G)],
    "state dicts": lambda G: [{"a": row[:8].reshape(2, 4), "b": row[8:]} for row in G],
    "state dicts of arrays": lambda G: [{"a": row[:8].numpy().reshape(2, 4), "b": row[8:].numpy()} for row in G],
    "keys in another order": lambda G: [
        dict(sorted({"a": row[:8].reshape(2, 4), "b": row[8:]}.items(), reverse=i % 2 == 1)) for i, row in enumerate(G)
    ],
    "updates": Dense,
    "a view": lambda G: Dense(G / 2).scale(torch.full((len(G),), 2.0, dtype=torch.float64)),
    "requires grad": lambda G: G.clone().requires_grad_(),
    "parameters": lambda G: [nn.Parameter(row.clone()) for row in G],
    "parameters in state dicts": lambda G: [{"a": nn.Parameter(row.clone())} for row in G],
    "result of a computation": lambda G: (G.clone().requires_grad_() * 2) / 2,
    "transposed array": lambda G: np.asfortranarray(G.numpy()),
    "negative strides": lambda G: np.ascontiguousarray(G.numpy()[::-1, ::-1])[::-1, ::-1],
    "one negative stride": lambda G: [np.ascontiguousarray(row[::-1])[::-1] for row in G.numpy()],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_form_is_the_same_stack(form, dtype):
    G = random_rows(dtype=dtype)
    made = FORMS[form](G.clone())
    updates = as_updates(made)
    assert (updates.n, updates.d, updates.dtype, updates.ids) == (5, 12, dtype, (0, 1, 2, 3, 4))
    assert torch.equal(materialise(updates), G)
    for rule in (rules.Mean(), rules.Median(), rules.Krum(f=1)):
        output = rule(made)
        assert isinstance(output, np.ndarray if isinstance(made, np.ndarray) else torch.Tensor)
        output = torch.as_tensor(output)
        assert (output.dtype, output.requires_grad) == (dtype, False)
        torch.testing.assert_close(output, rule(G))


def test_read_only_arrays_are_left_alone():
    G = random_rows().numpy()
    G.flags.writeable = False
    np.testing.assert_allclose(rules.Mean()(G), G.mean(0))
    np.testing.assert_allclose(rules.Median()(list(G)).numpy(), np.median(G, 0))
    broadcast = np.broadcast_to(G[0], (4, 12))
    np.testing.assert_allclose(rules.Mean()(broadcast), G[0])


def test_nothing_is_copied():
    G = random_rows()
    updates = as_updates(G)
    G[0, 0] = 7
    assert float(updates.read(0, 1)[0]) == 7


@pytest.mark.parametrize("f", [0, 1])
def test_one_client(f):
    G = random_rows(1)
    for rule in (rules.Mean(), rules.Median(), rules.TrimmedMean(f=0), rules.GeometricMedian(), rules.SignGuard()):
        torch.testing.assert_close(rule(G), G[0])
    with pytest.raises(BoundError, match=r"TrimmedMean\(f=1\) needs n >= 2f \+ 1 = 3 clients, got 1"):
        rules.TrimmedMean(f=1)(G)
    with pytest.raises(BoundError, match=f"= {2 * f + 3} clients, got 1"):
        rules.Krum(f=f)(G)


# --- refused, with the value and the remedy -----------------------------------------------------------------

T = torch.ones
REFUSED = {
    "strings": ("abc", TypeError, "in a list, from an iterator or as {id: row}; got str"),
    "None": (None, TypeError, "got NoneType"),
    "number": (3.0, TypeError, "got float"),
    "a module": (nn.Linear(2, 2), TypeError, "got Linear, of which state_dict() is what a client sends"),
    "modules": ([nn.Linear(2, 2)], TypeError, "client 0: expected a row, a state dict or a list of layers, got Linear"),
    "a set": ({T(2)}, TypeError, "got set, which has no order: hand over a list"),
    "one state dict": ({"a": T(2, 2)}, ValueError, "A mapping is {id: row}; one client's state dict goes into a list"),
    "list of strings": (["a", "b"], TypeError, "client 0: expected a row, a state dict or a list of layers, got str"),
    "paths": (["a", "b"], TypeError, "rows in files are fedward.stack.Files(paths)"),
    "list of numbers": ([1.0, 2.0], TypeError, "got float; numbers are numpy.asarray(numbers, dtype='float32')"),
    "lists of numbers": ([[1.0, 2.0]] * 3, TypeError, "client 0: layer 0 is of type float, not a tensor or an array"),
    "list of None": (
        [T(2), None],
        TypeError,
        "client 1: expected a row, a state dict or a list of layers, got NoneType; leave this client out",
    ),
    "everybody": ([None, None], TypeError, "(and nothing usable came from any of the 2 clients)"),
    "two of five": ([T(2), None, T(2), 3, T(2)], TypeError, "got NoneType (and 1 more: 3)"),
    "empty list": ([], ValueError, "got an empty list: no client sent an update"),
    "no rows": (T(0, 4), ValueError, "at least one row and one column, got shape (0, 4)"),
    "no columns": (T(4, 0), ValueError, "got shape (4, 0)"),
    "1-D tensor": (T(4), ValueError, "got shape (4,); one row is G[None, :]"),
    "0-D tensor": (torch.tensor(4.0), ValueError, "got shape ()"),
    "3-D tensor": (T(2, 3, 4), ValueError, "got shape (2, 3, 4)"),
    "1-D array": (np.ones(4), ValueError, "got shape (4,); one row is G[None, :]"),
    "integer tensor": (T(2, 3).long(), TypeError, "got torch.int64; convert them with .float()"),
    "bool tensor": (T(2, 3).bool(), TypeError, "got torch.bool"),
    "complex tensor": (
        T(2, 3).to(torch.complex64),
        TypeError,
        "the stack is torch.complex64; updates are real numbers",
    ),
    "integer array": (np.ones((2, 3), np.int32), TypeError, "got torch.int32; convert them with .float()"),
    "array of strings": (np.array([["a"]]), TypeError, "is an array of <U1, not of numbers"),
    "array of objects": (np.array([[None]]), TypeError, "is an array of object, not of numbers"),
    "array of complex": (np.ones((2, 2), complex), TypeError, "is an array of complex128; updates are real numbers"),
    "rows of other length": (
        [T(3), T(3), T(4)],
        ValueError,
        "client 2: row has shape (4,), most clients' has (3,)",
    ),
    "2-D rows": ([T(3), T(1, 3)], ValueError, "client 1: the row has shape (1, 3), rows are (d,): flatten it"),
    "integer row": ([T(3), T(3).long(), T(3)], TypeError, "client 1: row is torch.int64, most clients' is floating"),
    "integer rows": ([T(3).long()] * 3, TypeError, "rows are torch.int64, updates must be floating point"),
    "rows, a dict": ([T(3), {"a": T(3)}, T(3)], TypeError, "client 1: sent a state dict, most clients' is a row"),
    "a row, dicts": ([T(3), *[{"a": T(3)}] * 2], TypeError, "client 0: sent a row, most clients' is a state dict"),
    "missing key": (
        [{"a": T(3)}, *[{"a": T(3), "b": T(1)}] * 2],
        ValueError,
        "client 0: state dict lacks ['b'] and adds [] compared with most clients'",
    ),
    "other key": (
        [{"a": T(3)}, {"b": T(3)}, {"a": T(3)}],
        ValueError,
        "client 1: state dict lacks ['a'] and adds ['b']",
    ),
    "keys of several types": (
        [{"a": T(3)}] * 2 + [{"a": T(3), 1: T(1)}],
        ValueError,
        "client 2: state dict lacks [] and adds [1]",
    ),
    "half and half": (
        [{"a": T(3)}, {"b": T(3)}],
        ValueError,
        "no model was sent by more than half of the clients: say with like=",
    ),
    "other shape": (
        [{"a": T(1, 3)}, {"a": T(3)}, {"a": T(3)}],
        ValueError,
        "client 0: a has shape (1, 3), most clients' has (3,)",
    ),
    "integers for floats": (
        [{"a": T(3)}] * 2 + [{"a": T(3).long()}],
        TypeError,
        "client 2: a is torch.int64, most clients' is float",
    ),
    "dict of lists": ([{"a": [1.0]}], TypeError, "client 0: a is of type list, not a tensor or an array"),
    "quantised weights": (
        [{"a": T(3), "q": T(3).byte()}] * 3,
        TypeError,
        "q is torch.uint8 of shape (3,): integers are",
    ),
    "empty dict": ([{}], ValueError, "at least one floating-point tensor that has columns, got none"),
    "only integers": ([{"a": T(3).long()}], TypeError, "a is torch.int64 of shape (3,): integers are no updates"),
    "only counters": ([{"a": torch.tensor(3)}], ValueError, "at least one floating-point tensor that has columns"),
    "only running statistics": (
        [{"a.running_var": T(2)}],
        ValueError,
        "that has columns, got none in ['a.running_var']",
    ),
    "counters of other shape": (
        [{"a": T(3), "c": T(1).long()}, *[{"a": T(3), "c": torch.tensor(1)}] * 2],
        ValueError,
        "client 0: c has shape (1,), most clients' has ()",
    ),
    "counters of other kind": (
        [{"a": T(3), "c": torch.tensor(1)}] * 2 + [{"a": T(3), "c": torch.tensor(1.0)}],
        TypeError,
        "client 2: c is torch.float32, most clients' is integer",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_value_and_the_remedy(case):
    G, error, message = REFUSED[case]
    aggregate = fw.Aggregator(rules.SignGuardSim(), seed=1)
    aggregate(random_rows())
    before = aggregate.state_dict()
    with pytest.raises(error, match=re.escape(message)):
        aggregate(G)
    after = aggregate.state_dict()
    assert after["round"] == before["round"] == 1
    assert after["state"].keys() == before["state"].keys()
    assert torch.equal(after["state"]["reference"], before["state"]["reference"])


@pytest.mark.parametrize("error", ["bound", "ids"])
def test_after_an_error_the_next_round_is_as_if_it_had_not_been(error):
    one, other = (fw.Aggregator(rules.SignGuardSim(warmup=1), seed=1) for _ in range(2))
    for seed in range(3):
        bad = random_rows()
        bad[:] = torch.nan
        with pytest.raises(ValueError, match="NaN" if error == "bound" else "distinct"):
            one(bad, ids=None if error == "bound" else [1, 1, 2, 3, 4])
        a, b = one(random_rows(seed=seed)), other(random_rows(seed=seed))
        assert torch.equal(a.output, b.output)
        assert (one.round, a.reasons) == (other.round, b.reasons)


@pytest.mark.parametrize("form", ["tensor", "array", "list of tensors", "state dicts"])
def test_ids_must_fit(form):
    G = FORMS[form](random_rows())
    with pytest.raises(ValueError, match="ids must be distinct, 'b' occurs more than once; drop one of its rows"):
        as_updates(G, ids=["a", "b", "c", "b", "d"])
    with pytest.raises(ValueError, match="5 rows need 5 ids, got 6"):
        as_updates(G, ids=range(6))
    with pytest.raises(ValueError, match="5 rows need 5 ids, got 2"):
        as_updates(G, ids=["a", "b"])
    assert as_updates(G, ids=["a", 2, ("c", 3), None, 1.5]).ids == ("a", 2, ("c", 3), None, 1.5)


@pytest.mark.parametrize("form", ["tensor", "list of tensors", "state dicts"])
def test_ids_may_be_an_array(form):
    assert as_updates(FORMS[form](random_rows()), ids=np.arange(5, 10)).ids == (5, 6, 7, 8, 9)


def test_errors_name_the_client_by_its_id():
    ids = ["ann", "bob", "cat"]
    for fit, odd in ((T(3), T(4)), (T(3), T(3).long()), ({"a": T(3)}, {"a": T(4)}), ({"a": T(3)}, {}), (T(3), "x")):
        with pytest.raises((ValueError, TypeError), match="'bob'"):
            as_updates([fit, odd, fit], ids=ids)


def test_ids_belong_to_updates():
    with pytest.raises(ValueError, match=r"give them to Dense\(\.\.\.\) or Layers\(\.\.\.\), not to the call"):
        as_updates(Dense(random_rows()), ids=range(5))
    result = fw.Aggregator(rules.Mean())(Dense(random_rows(), ids=[*"abcde"]))
    assert result.ids == (*"abcde",)


def test_rows_with_other_numbers_of_layers_are_refused():
    for odd in ([T(2)], [T(2), T(1), T(1)]):
        with pytest.raises(ValueError, match=r"client 1: sent \d layers, most clients' are 2"):
            Layers([[T(2), T(1)], odd, [T(2), T(1)]])
