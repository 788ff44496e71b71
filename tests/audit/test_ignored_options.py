"""No option of the commands about files is taken and ignored, and nothing is written where one cannot be met."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from .test_adapters import clients, write
from .test_commands import invoke

GOOD = [f"updates/client-{i}.safetensors" for i in (0, 1, 2, 4, 9, 11)]
BASED = (*GOOD, "--base", "base.safetensors")
AGGREGATE = ("aggregate", *BASED, "--rule", "median", "-o", "next.pt")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*AGGREGATE, "--rank", "8"), "for adapters, and these are whole models"),
        ((*AGGREGATE, "--merge", "average"), "for adapters, and these are whole models"),
        ((*AGGREGATE, "--report", "folder"), "is a folder"),
        ((*AGGREGATE, "--report", "next.pt"), "the model is written there"),
        ((*AGGREGATE, "--report", GOOD[0]), "is a client's"),
        ((*AGGREGATE, "--report", "base.safetensors"), "is the base"),
        (("audit", *BASED, "--report", "folder"), "is a folder"),
        (("audit", *BASED, "--report", GOOD[0]), "is a client's"),
        (("audit", *BASED, "--rule", "krum:f=1", "--f", "2"), "in their own text"),
        (("audit", *BASED, "--votes", "6"), "nobody could be suspected"),
        (("audit", *BASED, "--rule", "krum:f=1", "--votes", "2"), "nobody could be suspected"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(
    updates: Path, arguments: tuple[str, ...], says: str
) -> None:
    Path("folder").mkdir()
    before = {path: path.read_bytes() for path in (*map(Path, GOOD), Path("base.safetensors"))}
    status, text = invoke(*arguments)
    assert status == 2, text
    assert says in " ".join(text.split())
    assert not Path("next.pt").exists()
    assert {path: path.read_bytes() for path in before} == before


def test_more_votes_than_rules_that_can_decide_are_no_acquittal(updates: Path) -> None:
    rules = [word for rule in ("median", "krum:f=9") for word in ("--rule", rule)]
    status, text = invoke("audit", *BASED, *rules, "--votes", "2", "--json")
    assert status == 3
    for client in json.loads(text)["clients"]:
        assert client["reason"] == "not-judged"
        assert "1 of 2 rules could decide, and 2 must suspect" in client["detail"]


def test_a_rank_is_not_for_averages(tmp_path: Path) -> None:
    for i, layers in enumerate(clients(flipped=None, scaled=None).values()):
        write(tmp_path / "adapters" / f"client-{i}", layers)
    aggregate = ("aggregate", "adapters", "--rule", "mean", "--raw", "-o", "out")
    status, text = invoke(*aggregate, "--merge", "average", "--rank", "4")
    assert (status, Path("out").exists()) == (2, False)
    assert "keep their rank" in " ".join(text.split())


def test_the_settings_of_an_average_are_those_of_most_and_not_of_the_first(tmp_path: Path) -> None:
    """Of the first client the average had all settings, whatever they were."""
    [layers, *_] = clients(flipped=None, scaled=None).values()
    for i in range(4):
        write(tmp_path / "adapters" / f"client-{i}", layers)
    file = tmp_path / "adapters" / "client-0" / "adapter_config.json"
    odd = {"base_model_name_or_path": "somebody/elses", "r": 64, "auto_mapping": {"parent_library": "evil"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **odd}))
    status, text = invoke("aggregate", "adapters", "--rule", "mean", "--raw", "--merge", "average", "-o", "out")
    assert status == 0, text
    settings = json.loads(Path("out/adapter_config.json").read_text())
    rank = load_file("out/adapter_model.safetensors")["base_model.model.q.lora_A.weight"].shape[0]
    assert (settings["r"], settings["lora_alpha"]) == (rank, 16.0)
    assert not {"base_model_name_or_path", "auto_mapping"} & settings.keys()


def test_an_average_without_a_majority_on_its_scale_is_refused(tmp_path: Path) -> None:
    [layers, *_] = clients(flipped=None, scaled=None).values()
    for i in range(4):
        write(tmp_path / "adapters" / f"client-{i}", layers, **({"r": 60 + i} if i else {}))
    status, text = invoke("aggregate", "adapters", "--rule", "mean", "--raw", "--merge", "average", "-o", "out")
    assert (status, Path("out").exists()) == (2, False)
    assert "r is" in text
    assert "--merge svd" in " ".join(text.split())
