"""Running statistics in files from Python: what `fedward aggregate` makes of them, to the bit, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.audit import run_aggregate
from fedward.stack import Files, Policy
from tests.audit.test_file_statistics import STATISTICS, base_model, models, poisoned, written

RULES = (rules.Mean(), rules.Median(), rules.Krum(f=2))


def hostile() -> list[dict[str, Tensor]]:
    """Three that are odd, two that cannot be, two that are not finite, in parameters or in statistics."""
    sent = poisoned()
    sent[1]["b1.running_var"].fill_(torch.nan)
    sent[2]["b2.num_batches_tracked"] = torch.tensor(-1)
    sent[4]["b2.running_var"][0] = -0.25
    sent[6]["fc.bias"][1] = torch.nan
    return sent


def in_files(folder: Path, sent: Sequence[dict[str, Tensor]], **options: Any) -> Files:
    return Files(sorted((folder / "clients").glob("*")), on_bad="drop", **options)


@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_python_has_what_the_shell_has(rule: fw.Rule, policy: Policy, tmp_path: Path) -> None:
    source = written(tmp_path, hostile())
    shell = run_aggregate(source, rule, batch_norm=policy)
    stack = in_files(tmp_path, hostile(), base=tmp_path / "base.safetensors", batch_norm=policy)
    result = fw.Aggregator(rule)(stack)
    assert result.ids == shell.result.ids
    assert result.reasons == shell.result.reasons
    details = {str(name): text.split(" (in ")[0] for name, text in result.details.items()}  # the file is named there
    assert details == {name: shell.result.details[name] for name in details}
    assert details.keys() == {"hospital-01", "hospital-02", "hospital-04"}
    expected = shell.result.state_dict()
    found = result.state_dict()
    assert found.keys() == expected.keys()
    for name in found:
        assert torch.equal(found[name], expected[name]), name
    odd = [note for note in shell.notes if note.startswith("running statistics of")]
    assert len(odd) == 3
    assert all(note in result.note for note in odd)


def test_liars_do_not_make_the_statistics(tmp_path: Path) -> None:
    """Without a base, too: the median of each entry over all clients, by plain loops."""
    sent = poisoned()
    written(tmp_path, sent)
    with pytest.warns(fw.core.RawWeightsWarning):
        found = fw.Aggregator(rules.Median())(in_files(tmp_path, sent)).state_dict()
    for name in STATISTICS:
        for j in range(16):
            assert found[name][j] == pytest.approx(np.median([float(model[name][j]) for model in sent]), rel=1e-6)


def test_one_that_cannot_be_is_an_error_by_name_unless_it_is_to_be_dropped(tmp_path: Path) -> None:
    sent = models()
    sent[4]["b2.running_var"][0] = -0.25
    written(tmp_path, sent)
    with pytest.raises(ValueError, match=r"'hospital-04': b2.running_var is a variance, and below 0: -0.25"):
        Files(sorted((tmp_path / "clients").glob("*")))


def test_frozen_ones_need_a_base(tmp_path: Path) -> None:
    written(tmp_path, models())
    for options in ({}, {"like": base_model()}, {"base": "median-of-clients"}):
        with pytest.raises(ValueError, match="frozen running statistics are the base's, and there is no base: give"):
            in_files(tmp_path, models(), batch_norm="frozen", **options)
    with pytest.raises(ValueError, match="batch_norm is one of 'mean', 'robust', 'frozen', got 'median'"):
        in_files(tmp_path, models(), batch_norm="median")


def test_models_without_statistics_have_nothing_said_of_them(tmp_path: Path) -> None:
    for k in range(3):
        save_file({"w": torch.full((3,), float(k))}, tmp_path / f"{k}.safetensors")
    result = fw.Aggregator(rules.Median())(Files(sorted(tmp_path.glob("*.safetensors"))))
    assert (result.note, dict(result.aside)) == ("", {})
