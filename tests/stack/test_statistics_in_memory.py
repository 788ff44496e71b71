"""Running statistics of state dicts in memory: what `Files` make of them, to the bit, and what is said of them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import Reason, rules
from fedward.stack import Files, Layers, Policy, as_updates
from tests.audit.test_file_statistics import base_model, models, poisoned, written
from tests.stack.test_files_statistics import RULES, hostile

BASES: Mapping[str, Any] = {"base": base_model, "centre": lambda: "median-of-clients", "none": lambda: None}
# Frozen statistics need a base.
CASES = [(policy, base) for policy in get_args(Policy) for base in BASES if policy != "frozen" or base == "base"]


def by_name(sent: list[dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Tensors in the order of names, as files have them: columns lie in that order."""
    return {f"hospital-{k:02}": dict(sorted(model.items())) for k, model in enumerate(sent)}


@pytest.mark.parametrize(("policy", "base"), CASES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.filterwarnings("ignore::fedward.core.RawWeightsWarning")
def test_memory_has_what_files_have(rule: fw.Rule, policy: Policy, base: str, tmp_path: Path) -> None:
    sent, start = hostile(), BASES[base]()
    written(tmp_path, sent)
    stack = Files(sorted((tmp_path / "clients").glob("*")), base=start, on_bad="drop", batch_norm=policy)
    expected = fw.Aggregator(rule)(stack)
    found = fw.Aggregator(rule, batch_norm=policy)(by_name(sent), base=start, on_bad="drop")
    assert (found.ids, found.reasons, found.note) == (expected.ids, expected.reasons, expected.note)
    assert torch.equal(found.output, expected.output)
    assert torch.equal(found.accepted, expected.accepted)
    # The file is named there.
    assert dict(found.details) == {name: text.split(" (in ")[0] for name, text in expected.details.items()}
    assert found.note.count("no rule judges them") == 3
    tensors = expected.state_dict()
    assert found.state_dict().keys() == tensors.keys()
    for name, value in found.state_dict().items():
        assert torch.equal(value, tensors[name]), name


def test_the_default_is_robust_and_whoever_is_odd_is_in_the_note() -> None:
    sent = by_name(models())
    liar = "hospital-03"
    sent[liar]["b1.running_mean"] = sent[liar]["b1.running_mean"] + 500
    result = fw.Aggregator(rules.Median())(sent, base=base_model())
    assert result.accepted.all()
    assert float(result.state_dict()["b1.running_mean"].abs().max()) < 2
    assert f"running statistics of {liar}: b1.running_mean is " in result.note
    mean = fw.Aggregator(rules.Median(), batch_norm="mean")(sent, base=base_model())
    assert float(mean.state_dict()["b1.running_mean"].min()) > 40
    assert mean.note == result.note


def test_one_that_cannot_be_is_an_error_by_name_unless_it_is_to_be_dropped() -> None:
    sent = by_name(models())
    sent["hospital-04"]["b2.running_var"][0] = -0.25
    text = "b2.running_var is a variance, and below 0: -0.25"
    with pytest.raises(ValueError, match=f"'hospital-04': {text}"):
        fw.Aggregator(rules.Median())(sent, base=base_model())
    result = fw.Aggregator(rules.Median())(sent, base=base_model(), on_bad="drop")
    verdicts = dict(zip(result.ids, result.reasons, strict=True))
    assert (verdicts["hospital-04"], result.details) == (Reason.MALFORMED, {"hospital-04": text})


def test_frozen_ones_are_the_base_s_to_the_bit_and_need_one() -> None:
    aggregate = fw.Aggregator(rules.Median(), batch_norm="frozen")
    found = aggregate(by_name(poisoned()), base=base_model()).state_dict()
    for name, value in base_model().items():
        if "running" in name:
            assert torch.equal(found[name], value)
    with pytest.raises(ValueError, match="frozen running statistics are the base's, and there is no base: give base="):
        aggregate(by_name(models()), like=base_model())


def test_the_policy_is_one_of_three_and_survives_pickling() -> None:
    with pytest.raises(ValueError, match="Aggregator: batch_norm is one of mean, robust, frozen, got 'median'"):
        fw.Aggregator(rules.Median(), batch_norm="median")  # type: ignore[arg-type]
    made = fw.Aggregator(rules.Median(), batch_norm="mean")
    assert pickle.loads(pickle.dumps(made)).batch_norm == "mean"
    older = {name: value for name, value in made.__getstate__().items() if name != "batch_norm"}
    made.__setstate__(older)
    assert made.batch_norm == "robust"


def test_of_a_stack_that_is_made_the_stack_says_it() -> None:
    sent = by_name(poisoned())
    stack = as_updates(sent, base=base_model(), batch_norm="mean")
    expected = fw.Aggregator(rules.Median(), batch_norm="mean")(sent, base=base_model()).state_dict()
    for batch_norm in ("robust", "mean"):
        found = fw.Aggregator(rules.Median(), batch_norm=batch_norm)(stack).state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    for made in (stack, Layers([[torch.ones(3)], [torch.zeros(3)]])):
        with pytest.raises(ValueError, match="batch_norm='frozen' belongs to the stack: give it to Files"):
            fw.Aggregator(rules.Median(), batch_norm="frozen")(made)


@pytest.mark.parametrize("form", ["sparse", "other dtype", "flat rows", "lists of layers", "whole numbers as names"])
def test_odd_forms_of_them(form: str) -> None:
    """What clients may send in memory and no file can hold."""
    sent = models()
    like: Any = None
    if form == "sparse":
        sent[2] = {name: v.to_sparse() if "running" in name else v for name, v in sent[2].items()}
    elif form == "other dtype":
        sent[2] = {name: v.double() if "running" in name else v for name, v in sent[2].items()}
    elif form == "whole numbers as names":
        sent = [dict(enumerate(model.values())) for model in sent]  # type: ignore[misc]
    else:
        like = base_model()
        if form == "lists of layers":
            sent = [list(model.values()) for model in sent]  # type: ignore[misc]
        else:
            columns = [name for name in like if "running" not in name and "batches" not in name]
            sent = [torch.cat([model[name].flatten() for name in columns]) for model in sent]  # type: ignore[misc]
    plain = fw.Aggregator(rules.Mean())(models(), base=base_model()).state_dict()
    base: Any = dict(enumerate(base_model().values())) if form == "whole numbers as names" else base_model()
    found = fw.Aggregator(rules.Mean())(sent, base=base).state_dict()
    assert len(found) == len(plain)
    for (name, value), expected in zip(found.items(), plain.values(), strict=True):
        if form == "flat rows" and name not in columns:
            assert torch.equal(value, base_model()[name])  # nobody sent any
        elif form != "whole numbers as names":
            assert torch.equal(value, expected), name
