"""What is said of names that nobody knows: what may be meant, and no more names than somebody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fedward as fw
from fedward.experiments import RunSpec
from fedward.registry.entries import KINDS, catalogue, find
from fedward.registry.naming import did_you_mean, nearest_first, unknown

MANY = [f"name-{k}" for k in range(40)]


def test_of_many_names_the_nearest_five_are_listed() -> None:
    text = unknown("thing", "nome-7", MANY, "see there")
    assert text.startswith("unknown thing 'nome-7'; did you mean 'name-7'? Valid names: name-7, ")
    assert text.endswith(" and 35 others (see there)")
    assert text.count("name-") == 6  # the one that is meant stands there twice


def test_a_few_names_are_all_listed() -> None:
    few = ["zebra", "ape", "lion_king"]
    assert unknown("animal", "Lion-kin", few, "see there") == (
        "unknown animal 'Lion-kin'; did you mean 'lion_king'? Valid names: lion_king, zebra, ape"
    )
    assert nearest_first("qqq", few) == "zebra, ape, lion_king"
    assert nearest_first("qqq", []) == "none"
    assert did_you_mean("qqq", few) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_no_message_lists_a_hundred_names(kind: str) -> None:
    names = [name for entry in catalogue(kind) for name in (entry.name, *entry.aliases)]
    with pytest.raises(ValueError, match=f"unknown .* '{names[0]}z'; did you mean '.*'\\? Valid names: ") as caught:
        find(f"{names[0]}z", kind)
    listed = str(caught.value).partition("Valid names: ")[2]
    assert listed.count(",") <= 4
    assert bool(re.search(r" and \d+ others? \(fedward list \w+\)$", listed)) == (len(names) > 5)
    with pytest.raises(ValueError, match="unknown name 'zzz'") as caught:
        fw.build("zzz")
    assert len(str(caught.value)) < 200


def test_one_name_too_many_is_said_in_the_singular() -> None:
    assert nearest_first("c", "abcdef", "there") == "c, f, e, d, b and 1 other (there)"


def test_too_many_names_of_another_kind() -> None:
    with pytest.raises(ValueError, match=r"is an attack, a rule is needed: .* and \d+ others"):
        fw.parse("alie", "rule")


OWN = """
import torch
class Net(torch.nn.Module): pass
def load(): return None
_hidden = 1
"""


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [("own_names_here:Nett", "model", "; did you mean 'Net'?"), ("own_names_here:laod", "data set", "'load'?"),
     ("own_names_here:hidde", "model", "; write it like package.module.Class"),
     ("own_names_here:tourch", "model", "; write it like package.module.Class")],
)  # fmt: skip
def test_what_may_be_meant_in_a_module_of_one_s_own(
    text: str, kind: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_names_here.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="has no attribute") as caught:
        fw.registry.notation.recipe(text, kind)
    assert str(caught.value).endswith(meant)


# --- tables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "table", "text"),
    [
        ("server", {"name": "fed-adam", "lr": 0.25, "beta1": 0.5}, "fed-adam:lr=0.25,beta1=0.5"),
        ("server", {"name": "sgd"}, "sgd"),
        ("server", {"name": "sgd", "schedule": {"name": "multi-step", "milestones": [3, 5]}},
         "sgd:schedule=(multi-step:milestones=(3, 5))"),
        ("model", {"name": "mlp", "hidden": 16}, "mlp:hidden=16"),
        ("data", {"name": "emnist", "split": "letters"}, "emnist:split=letters"),
        ("data", {"name": "fedward.data.known:emnist", "split": "letters"}, "fedward.data.known:emnist:split=letters"),
    ],
)  # fmt: skip
def test_a_table_is_as_good_as_text(key: str, table: object, text: str) -> None:
    given = {"rule": "mean", "clients": 5, "byzantine": 1}
    assert RunSpec(**{**given, key: table}) == RunSpec(**{**given, key: text})


@pytest.mark.parametrize(
    ("key", "table", "message"),
    [
        ("server", {"name": "sgdd"}, r"unknown server 'sgdd'; did you mean 'sgd'\?"),
        ("server", {"lr": 0.1}, "a table needs a name, got only lr"),
        ("server", {"name": "sgd", "beta": 1}, "unknown argument of sgd 'beta'"),
        ("model", {"name": "mlp", "hiden": 1}, "unknown argument of mlp 'hiden'; did you mean 'hidden'"),
        ("data", {"name": "mnits"}, "unknown data set 'mnits'; did you mean 'mnist'"),
    ],
)
def test_what_is_wrong_with_a_table(key: str, table: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunSpec(**{key: table})
