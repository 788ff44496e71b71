"""The check of parameters where annotations are the types themselves: a module without the import from __future__."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, Union

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules


@dataclass(frozen=True, kw_only=True)
class Mine(fw.Rule):
    """A parameter of every kind."""

    declared = fw.Traits(history=False)
    count: int = 1
    size: Optional[float] = None  # noqa: UP045
    place: Union[int, str] = "end"  # noqa: UP007
    late: "float | None" = None
    word: Literal["a", "b", 3] = "a"
    sizes: tuple[float, ...] = ()
    pair: tuple[int, str] = (1, "a")
    names: Sequence[str] = ()
    listed: list[int] = field(default_factory=list)
    table: Mapping[str, int] = field(default_factory=dict)
    inner: fw.Rule = field(default_factory=rules.Mean)
    bare: tuple = ()
    anything: Any = None
    array: np.ndarray = field(default_factory=lambda: np.zeros(1))
    made: int = field(init=False, default=0)

    def decide(self, updates, state, context):
        return fw.average_of(updates, torch.arange(updates.n))


REFUSED = {
    "count": ["1", 1.0, None, True, [1]],
    "size": ["1", True, float("nan"), [1.0]],
    "place": [1.5, None, True],
    "late": ["1", True, float("nan")],
    "word": ["c", 3.0, None, True],
    "sizes": [1.0, "1", ["1"], (float("nan"),), {1.0}, (True,)],
    "pair": [(1,), ("a", 1), (1, "a", 2), "1a"],
    "names": ["abc", [1], 3],
    "listed": [(1,), [1.5], "1"],
    "table": [{"a": 1.5}, {1: 1}, [("a", 1)]],
    "inner": ["mean", rules.Mean, None],
    "bare": ["ab", 3],
    "array": [[1.0], 3],
}
TAKEN = {
    "count": [2, np.int64(2)],
    "size": [None, 2, 2.5, np.float32(2.5)],
    "place": [1, "a", np.str_("a")],
    "late": [None, 1],
    "word": ["b", 3],
    "sizes": [(), [1, 2.5], (1.0,)],
    "pair": [(2, "b"), [2, "b"]],
    "names": [["a"], ("a", "b")],
    "listed": [[], [1]],
    "table": [{}, {"a": 1}],
    "inner": [rules.Krum(f=1)],
    "anything": [object(), "a", None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_refused(name, value):
    with pytest.raises(ValueError, match=f"^Mine: {name} is "):
        Mine(**{name: value})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in TAKEN.items() for value in values])
def test_taken(name, value):
    kept = getattr(Mine(**{name: value}), name)
    assert kept == (tuple(value) if isinstance(value, list) and name != "listed" else value)
    assert not isinstance(kept, np.generic)
