"""What is said of a place that an audit or a checkpoint cannot have, and of what a reply is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedward.flower import RobustFedAvg, hostile
from fedward.sim import CheckpointError

from .federation import InProcess, Quadratic, floats, liars, model
from .strategies import quiet


def refused(match: str, **arguments: Any) -> str:
    with pytest.raises((CheckpointError, OSError), match=match) as error:
        RobustFedAvg(**{"rule": "median", **arguments})
    return str(error.value)


def test_a_folder_that_is_not_there_is_all_that_is_wrong(tmp_path: Path) -> None:
    text = refused("there is no folder", checkpoint=tmp_path / "no" / "a.pt")
    assert text.endswith("make it first")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    assert str(tmp_path) in refused("is a folder: name a file in it, such as audit.jsonl", audit=tmp_path)
    assert str(tmp_path) in refused("is a folder: name a file in it, such as federation.pt", checkpoint=tmp_path)


def test_a_checkpoint_of_another_rule_can_be_replaced_by_word(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    quiet("median", checkpoint=path).start(InProcess(Quadratic().app), floats(), num_rounds=1)
    refused("is of another configuration: rule was .* or say fresh=True", rule="krum:f=1", checkpoint=path)
    quiet("krum:f=1", checkpoint=path, fresh=True)


def test_a_model_that_was_saved_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "a.pt")
    refused("is no checkpoint of a run, but something else .* or say fresh=True", checkpoint=tmp_path / "a.pt")


def test_what_a_rule_drops_for_nan_says_so() -> None:
    strategy = quiet("median")
    app = Quadratic([hostile.reply_mod("nan", liars(1))]).app
    strategy.start(InProcess(app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert (dropped.reason, dropped.detail) == ("nonfinite", "NaN or Inf")


def test_only_what_a_reply_lacks_or_adds_is_named() -> None:
    def more(message: Any, context: Any, call_next: Any) -> Any:
        reply = call_next(message, context)
        if liars(1)(context):
            reply.content["arrays"]["more"] = reply.content["arrays"]["b.bias"]
        return reply

    strategy = quiet("median")
    strategy.start(InProcess(Quadratic([more]).app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert dropped.detail == "adds ['more']"
