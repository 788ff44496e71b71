"""The grammar of a state: parts, clients, and that old ones are still read."""

from __future__ import annotations

import numpy as np
import torch

from fedward.core.state import entries, key, placed, recall, remember, within


def test_a_part_is_taken_out_as_it_was_put_in() -> None:
    whole = {"own": torch.ones(1), "10/x": torch.ones(2)}
    part = {"a": torch.zeros(1), "b/c": torch.zeros(2)}
    after = placed(whole, "1", part)
    assert within(after, "1") == part
    assert within(after, "10") == {"x": whole["10/x"]}, "1 is not the beginning of 10"
    assert after["own"] is whole["own"]
    assert placed(after, "1", {}) == whole, "what the part has forgotten is gone"


def test_parts_of_parts_do_not_meet() -> None:
    inner = placed({"x": torch.zeros(1)}, "base", {"x": torch.ones(1)})
    outer = placed({"x": torch.full((1,), 2.0)}, "base", inner)
    assert sorted(outer) == ["base/base/x", "base/x", "x"]
    assert within(within(outer, "base"), "base")["x"] == 1


def test_the_text_of_keys_is_that_of_saved_states() -> None:
    assert key("row", 3) == key("row", np.int64(3)) == "row of 3"
    assert key("row", "3") == "row of '3'"
    assert list(placed({}, "base", {"last seen of 3": torch.ones(1)})) == ["base/last seen of 3"]


def test_numbers_of_clients_are_recalled_as_they_were_remembered() -> None:
    state = {"x": torch.ones(1), **remember("trust", ["a", 1], torch.tensor([0.25, 0.5], dtype=torch.float64))}
    assert recall(state, "trust", [1, "b", "a"], 7.0).tolist() == [0.5, 7.0, 0.25]
    assert list(entries(state, "trust")) == ["trust of 'a'", "trust of 1"]
    assert entries(state, "tru") == {}
