"""Data sets, models, partitions and servers have names as rules have: registered, or the import path of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import sim
from fedward.data import names
from fedward.experiments.spec import RunSpec, SpecError, make_spec
from fedward.registry import entries as registry
from fedward.registry.bounds import Count
from fedward.registry.notation import recipe

OWN = '''
from dataclasses import dataclass
import torch
from torch import nn
from fedward import sim
from fedward.registry.bounds import Count

loaded = []


def flowers(count: Count = 60, path: str | None = None) -> sim.Dataset:
    """Flowers."""
    loaded.append(count)
    split = sim.Split(inputs=torch.zeros(count, 1, 2, 2), labels=torch.arange(count) % 3)
    return sim.Dataset(name="flowers", train=split, test=split, classes=3)


class Tiny(nn.Sequential):
    """Few parameters."""

    def __init__(self, width: Count = 2) -> None:
        super().__init__(nn.Flatten(), nn.Linear(4, width), nn.Linear(width, 3))


@dataclass(frozen=True, kw_only=True)
class InTurn(sim.Partition):
    """One sample after the other."""

    step: Count = 1

    def split(self, labels, clients, generator):
        return tuple(torch.arange(c, len(labels), clients) for c in range(clients))


def nothing() -> None:
    """No data set, and no model."""
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_things.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import own_things

    own_things.loaded.clear()
    return own_things


def spec(**values: Any) -> RunSpec:
    return make_spec({"clients": 6, "byzantine": 1, "batch_size": 2, "rule": "mean", **values})


def test_everything_of_a_run_may_be_one_s_own(own: Any) -> None:
    made = spec(
        data="own_things.flowers:count=90", model="own_things.Tiny:width=3", partition="own_things.InTurn:step=2"
    )
    assert own.loaded == []  # known to be one without being loaded
    assert made.make_partition() == own.InTurn(step=2)
    assert fw.describe(made.make_partition()) == "own_things.InTurn:step=2"
    simulation = made.simulation()
    assert own.loaded == [90]
    assert len(list(simulation.run(rounds=1))) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"data": "mnits"}, "unknown data set 'mnits'; did you mean 'mnist'? Valid names: mnist, "),
        ({"data": "own_things.flowers:count=0"}, "count is a whole number of at least 1, got 0"),
        ({"data": "own_things.flowers:size=2"}, "unknown argument of own_things.flowers 'size'. Valid names: count"),
        ({"data": "own_things.Roses"}, "cannot import 'own_things.Roses'"),
        ({"data": "own_things.InTurn"}, "own_things.InTurn is a partition, a data set is needed"),
        ({"model": "lineer"}, "unknown model 'lineer'; did you mean 'linear'?"),
        ({"model": "signguard-cnn:dropout=2"}, "dropout is a number from 0 to 1, got 2"),
        ({"model": "mnist"}, "mnist is a data set, a model is needed"),
        ({"partition": "own_things.InTurn:step=0"}, "InTurn: step is a whole number of at least 1, got 0"),
        ({"partition": "alie"}, "alie is an attack, a partition is needed"),
        ({"rule": "linear"}, "linear is a model, a rule is needed"),
        ({"rule": "own_things.flowers"}, "own_things.flowers is not a rule"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(own: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec(**values)
    assert words in str(caught.value)
    assert own.loaded == []


def test_a_partition_may_be_a_table() -> None:
    assert spec(partition={"name": "s-fraction", "s": 0.5}).partition == "s-fraction:s=0.5"


def test_what_comes_out_is_looked_at(own: Any) -> None:
    with pytest.raises(sim.DataError, match="returns NoneType; a data set is"):
        sim.load("own_things.nothing")
    with pytest.raises(ValueError, match="makes NoneType, and a model is"):
        sim.build_model("own_things.nothing")
    with pytest.raises(ValueError, match=r"'download'\. Valid names: count, path"):
        sim.load("own_things.flowers", download=False)


def test_only_names_of_the_kind_are_listed() -> None:
    for kind in registry.KINDS:
        with pytest.raises(ValueError, match=r"unknown .* 'zzzz'") as caught:
            fw.parse("zzzz", kind)
        names = [name for e in fw.catalogue(kind) for name in (e.name, *e.aliases)]
        listed = str(caught.value).partition("Valid names: ")[2].partition(" and ")[0].split(", ")
        assert set(listed) <= set(names)
        assert len(listed) == (len(names) if len(names) <= 5 else 5)
    with pytest.raises(ValueError, match="unknown kind 'rules'; did you mean 'rule'"):
        fw.catalogue("rules")


def test_registered_is_as_good_as_packaged(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    fw.register("flowers", kind="data set")(own.flowers)
    fw.register("tiny", kind="model")(own.Tiny)
    fw.register("in-turn")(own.InTurn)
    assert sim.load("flowers", "anywhere").classes == 3
    assert "flowers" in names()
    assert isinstance(sim.build_model("tiny"), sim.MODELS["tiny"])
    assert fw.parse("in-turn:step=3") == sim.PARTITIONS["in-turn"](step=3)
    for kind, name in (("data set", "flowers"), ("model", "tiny"), ("partition", "in-turn")):
        assert name in {e.name for e in fw.catalogue(kind)}
        assert name not in {e.name for e in fw.catalogue(kind, packaged=True)}
    assert "nonsense" not in sim.MODELS
    assert len(sim.MODELS) == len(list(sim.MODELS))


@pytest.mark.parametrize(
    ("thing", "kind", "words"),
    [
        (lambda: None, None, "fedward.rule and fedward.attack make one of a function"),
        (lambda: None, "rule", "is not a rule: a dataclass"),
        (lambda: None, "models", "unknown kind 'models'; did you mean 'model'"),
        (torch.ones(2), "model", "a class or function that makes one is needed"),
    ],
)
def test_what_cannot_be_registered(thing: Callable[[], Any], kind: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fw.register("test-only-thing", kind=kind)(thing)


def test_parameters_of_functions_and_of_classes_are_read_alike() -> None:
    def function(count: Count, word: Literal["a", "b"] = "a", *, free=None):  # type: ignore[no-untyped-def]
        pass

    class Module(nn.Module):
        def __init__(self, count: Count, word: Literal["a", "b"] = "a", *, free=None) -> None:  # type: ignore[no-untyped-def]
            super().__init__()

    @dataclass(frozen=True)
    class Data:
        count: Count
        word: Literal["a", "b"] = "a"
        free: Any = None

    read = [registry.parameters_of(maker) for maker in (function, Module, Data)]
    assert read[0] == read[1] == read[2]
    assert read[0]["word"].words == ("a", "b")
    assert read[0]["count"].default is ...


def test_the_server_s_optimiser_has_a_name() -> None:
    assert fw.parse("sgd:lr=0.5,momentum=0.9", "server") == fw.ServerSGD(lr=0.5, momentum=0.9)
    assert fw.describe(fw.ServerSGD(lr=0.5)) == "sgd:lr=0.5"
    assert recipe("mlp", "model").entry.summary.startswith("One hidden layer")
