"""Records and whatever else is written as JSON by its annotations: what is read is what was written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward import Reason
from fedward.sim import Record
from fedward.sim.forms import Form, FormError, read_back, written

N = 3
rates = st.none() | st.floats(0, 1)
numbers = st.none() | st.floats(allow_nan=False)
shares = st.tuples(*[st.floats(0, 1)] * 3)
words = st.none() | st.text()
RECORDS = st.builds(
    Record,
    round=st.integers(1, 2**53),
    accuracy=rates,
    by_class=st.lists(rates, max_size=3).map(tuple),
    worst_client=rates,
    calibration_error=rates,
    attack=words,
    loss=numbers,
    train_loss=numbers,
    byzantine_accepted=rates,
    honest_accepted=rates,
    accepted=st.tuples(*[st.sampled_from([True, False, None])] * N),
    reasons=st.dictionaries(st.integers(0, N - 1), st.sampled_from(Reason) | st.just("malformed reply")),
    signs=st.none() | st.dictionaries(st.sampled_from(["honest", "byzantine", "virtual"]), st.none() | shares),
    seconds=st.dictionaries(st.text(), st.floats(0, 1e6)),
    memory=st.dictionaries(st.text(), st.integers(0)),
    confidence=rates,
    skipped=words,
    note=words,
    scores=st.dictionaries(st.text(), st.tuples(*[numbers] * N)),
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record):
    again = Record.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record
    assert [type(again.reasons[c]) for c in again.reasons] == [type(record.reasons[c]) for c in record.reasons]


def test_a_record_of_an_earlier_version_has_the_defaults_of_what_came_later():
    record = Record.from_json({"round": 7, "accepted": "1-0", "reasons": None, "of a later version": 1})
    assert record == Record(round=7, accepted=(True, None, False))


def test_only_what_every_record_has_ever_had_is_without_default():
    with pytest.raises(FormError) as caught:
        Record.from_json({})
    assert caught.value.fields == ("round", "accepted")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"round": 1.0}, "round must be a whole number, got 1.0"),
        ({"round": True}, "round must be a whole number, got True"),
        ({"accuracy": "0.5"}, "accuracy must be a number, got '0.5'"),
        ({"accuracy": 1.5}, r"accuracy must lie in 0\.\.1, got 1.5"),
        ({"loss": True}, "loss must be a number, got True"),
        ({"accepted": ""}, "accepted must hold one of 1, 0 and - for each client"),
        ({"accepted": None}, "accepted must hold one of 1, 0 and - for each client"),
        ({"reasons": {"x": "far"}}, "reasons must have whole numbers for names, got 'x'"),
        ({"reasons": ["far"]}, r"reasons must be a JSON object, got \['far'\]"),
        ({"signs": {"honest": [0.5, 0.5]}}, "signs must hold 3 values"),
        ({"seconds": {"attack": None}}, "seconds must be a number, got None"),
        ({"scores": {"norm": [1.0, None]}}, "scores must have a number or null for each of 3 clients"),
        ({"scores": {"norm": [1.0, None, "x"]}}, "scores must be a number, got 'x'"),
        ({"note": 3}, "note must be text, got 3"),
        ({"by_class": 0.5}, "by_class must be a list, got 0.5"),
        ({"by_class": [0.5, 2]}, r"by_class must lie in 0\.\.1, got 2"),
        ({"worst_client": -0.1}, r"worst_client must lie in 0\.\.1, got -0.1"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(entry, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Record.from_json({"round": 1, "accepted": "101", **entry})


@dataclass(frozen=True, kw_only=True)
class Wider(Record):
    """A record with a field more: its annotation is all there is to say about it."""

    drift: Annotated[float | None, Form(write=lambda drift: drift and -drift, read=lambda drift: -drift)] = None
    by_layer: Mapping[str, tuple[int, ...]] | None = None
    last: bool = False


def test_a_field_is_added_in_one_place():
    record = Wider(round=1, accepted=(True,), drift=0.5, by_layer={"conv": (1, 2)}, last=True)
    assert record.to_json()["drift"] == -0.5
    assert Wider.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert Wider.from_json(Record(round=1, accepted=(True,)).to_json()).drift is None
    assert [field.name for field in fields(Wider)][-3:] == ["drift", "by_layer", "last"]


def test_an_annotation_without_a_form_is_refused():
    @dataclass
    class Odd:
        what: set[int]

    with pytest.raises(TypeError, match=r"set\[int\] has no form in JSON: annotate the field with one"):
        written(Odd({1}))


def test_dataclasses_in_dataclasses_are_read_too():
    entry = {"inner": [{"x": 1.0, "y": "a"}]}
    assert read_back(Outer, entry) == Outer(inner=(Inner(x=1.0, y="a"),))
    assert written(read_back(Outer, entry)) == entry
    with pytest.raises(FormError, match="inner y must be text, got 2"):
        read_back(Outer, {"inner": [{"x": 1.0, "y": 2}]})


@dataclass(frozen=True, kw_only=True)
class Inner:
    x: float
    y: str


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: tuple[Inner, ...]


def test_records_of_earlier_checkpoints_hold_tuples_where_json_has_lists() -> None:
    record = Record(
        round=1,
        accepted=(True, None),
        scores={"norm": (0.5, None)},
        signs={"honest": (0.25, 0.5, 0.25), "byzantine": None},
    )
    saved = {**record.to_json(), "scores": dict(record.scores), "signs": dict(record.signs or {})}
    assert Record.from_json(saved) == record
