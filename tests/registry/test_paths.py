"""Import paths are written with a dot or with a colon before the last part, wherever a name is due."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedward as fw
from fedward import sim
from fedward.experiments.load import load_spec
from fedward.experiments.spec import make_spec
from fedward.registry.notation import dotted, parse

OWN = """
from dataclasses import dataclass
import torch
from torch import nn
import fedward as fw
from fedward.stack import SqNorms


def load(count: int = 60):
    part = (torch.arange(4.0 * count).reshape(count, 1, 2, 2) / count, torch.arange(count) % 3)
    return part, part


class Net(nn.Sequential):
    def __init__(self, shape, classes, width: int = 2) -> None:
        super().__init__(nn.Flatten(), nn.Linear(4, width), nn.Linear(width, classes))

    class Inner(nn.Sequential):
        def __init__(self, shape, classes) -> None:
            super().__init__(nn.Flatten(), nn.Linear(4, classes))


@dataclass(frozen=True, kw_only=True)
class Short(fw.Rule):
    f: int
    declared = fw.Traits(bound=fw.Bound(1, 1))

    def statistics(self, state, context):
        return (SqNorms(),)

    def decide(self, updates, state, context):
        norms = updates.norms()
        return fw.average_of(updates, fw.smallest(norms, updates.n - self.f))
"""


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pathed").mkdir()
    (tmp_path / "pathed" / "__init__.py").write_text("")
    (tmp_path / "pathed" / "things.py").write_text(OWN)
    (tmp_path / "pathed_alone.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my.module:load", "my.module.load"),
        (" my:load ", "my.load"),
        ("my.module:load:size=32", "my.module.load:size=32"),
        ("my.module:Class.method:a=1,b=(x:c=2)", "my.module.Class.method:a=1,b=(x:c=2)"),
        ("my.module.load:size=32", "my.module.load:size=32"),
        ("my.module.load", "my.module.load"),
        ("krum:f=2", "krum:f=2"),
        ("krum:f", "krum:f"),  # an argument that lacks its value
        ("multi-krum:f=2,m=3", "multi-krum:f=2,m=3"),
        ("byz-mean:inner=(my.module:Attack:z=1)", "byz-mean:inner=(my.module:Attack:z=1)"),
    ],
)
def test_only_import_paths_are_changed(text: str, expected: str) -> None:
    assert dotted(text) == expected


@pytest.mark.parametrize("module", ["pathed.things", "pathed_alone"])
def test_both_ways_are_one_thing(module: str) -> None:
    assert parse(f"{module}:Short:f=2", "rule") == parse(f"{module}.Short:f=2", "rule")
    chain = parse(f"nnm:f=1 >> {module}:Short:f=2", "rule")
    assert fw.describe(chain) == f"nnm:f=1 >> {module}.Short:f=2"
    assert fw.describe(parse(f"class-wise:base=({module}:Short:f=2)", "rule")) == f"class-wise:base={module}.Short:f=2"
    assert len(sim.load(f"{module}:load:count=30").train) == len(sim.load(f"{module}.load:count=30").train) == 30
    assert sum(p.numel() for p in sim.build_model(f"{module}:Net:width=5", (1, 2, 2), 3).parameters()) == 43


def test_what_lies_in_a_class_is_found() -> None:
    for text in ("pathed.things:Net.Inner", "pathed.things.Net.Inner"):
        assert sum(p.numel() for p in sim.build_model(text, (1, 2, 2), 3).parameters()) == 15
    with pytest.raises(
        ValueError, match=r"cannot import 'pathed\.things\.Net\.Outer': type object 'Net' has no attribute"
    ):
        sim.build_model("pathed.things:Net.Outer")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("pathed.nowhere:load", r"cannot import 'pathed\.nowhere\.load': No module named 'pathed\.nowhere'"),
        ("pathed.things:lode", r"cannot import 'pathed\.things\.lode'"),
        ("mnits:load", r"cannot import 'mnits\.load': No module named 'mnits'"),
        ("pathed.things:load:size=3", r"unknown argument of pathed\.things\.load 'size'"),
    ],
)
def test_a_wrong_path_is_said_to_be_one(text: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        sim.load(text)


def test_a_specification_has_one_spelling(tmp_path: Path) -> None:
    """So has its run's folder: one run resumes the other."""
    values: dict[str, Any] = {"clients": 5, "byzantine": 1, "attack": "no-attack", "batch_size": 3}
    made = [
        make_spec(
            {
                **values,
                "data": f"pathed.things{mark}load:count=40",
                "model": f"pathed.things{mark}Net",
                "rule": f"pathed.things{mark}Short:f=1",
            }
        )
        for mark in (".", ":")
    ]
    assert made[0].resolved() == made[1].resolved()
    assert made[0].name() == made[1].name()
    file = tmp_path / "run.toml"
    file.write_text('data = "pathed.things:load"\nmodel = "pathed.things:Net"\nrule = "pathed.things:Short:f=1"\n')
    assert load_spec(file, trust_imports=True, **values).data == "pathed.things.load"
    assert made[0].simulation().data.dataset.name == "pathed.things.load:count=40"
