"""Folders of runs: what differs has another name, and what is in the way is neither deleted nor a loss to others."""

from __future__ import annotations

from pathlib import Path

from fedward.experiments.spec import RunSpec, file_name, make_spec
from fedward.sweeps import make_sweep
from tests.cli.test_cli import QUICK, failure, invoke, records

OTHER = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 51,
    "byzantine": 9,
    "participation": 0.5,
    "dropout": 0.1,
    "late": 0.1,
    "rule": "mean",
    "attack": "alie:z=1",
    "batch_size": 61,
    "algorithm": "local-sgd:steps=2",
    "server": "sgd:schedule=(cosine:rounds=50)",
    "lr": 0.2,
    "momentum": 0.5,
    "weight_decay": 0.1,
    "partition": "s-fraction:s=0.5",
    "byzantine_data": "all",
    "batch_norm": "frozen",
    "forge": "both",
    "root": 50,
    "root_apart": True,
    "validation": 0.1,
    "seed": 1,
    "precision": "bfloat16",
}
SAME = {"rounds": 7, "evaluate_every": 3, "data_path": "elsewhere", "f": "unknown", "confidence": 0.9}


def test_every_key_that_changes_a_run_changes_its_name() -> None:
    assert OTHER.keys() | SAME.keys() | {"device"} == RunSpec.model_fields.keys()
    assert make_spec({}).name() == "fashion-mnist__sign-guard__alie__seed0"
    names = {key: make_spec({key: value}).name() for key, value in OTHER.items()}
    assert len({make_spec({}).name(), *names.values()}) == 1 + len(OTHER)
    assert names["lr"] == "fashion-mnist__sign-guard__alie__seed0__lr=0.2"
    assert names["partition"] == "fashion-mnist__sign-guard__alie__seed0__partition=s-fraction-s=0.5"
    assert names["batch_size"] == "fashion-mnist__sign-guard__alie__seed0__batch_size=61"
    for key, value in SAME.items():
        assert make_spec({key: value}).name() == make_spec({}).name()
    on_cuda = make_spec({}).model_copy(update={"device": "cuda"})
    assert on_cuda.name().endswith("__device=cuda")


def test_a_confidence_that_makes_another_rule_changes_the_name_by_it() -> None:
    half = {"participation": 0.5, "rule": "trimmed-mean"}
    often = make_spec({**half, "confidence": 0.6}).name()
    rarely = make_spec({**half, "confidence": 0.99}).name()
    assert often.replace("trimmed-mean-f=5", "") == rarely.replace("trimmed-mean-f=8", "")
    assert often != rarely


def test_defaults_written_out_change_no_name() -> None:
    spec = make_spec({"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "partition": "iid", "clients": 50})
    assert spec.name() == make_spec({}).name()
    deltas = make_spec({"algorithm": "local-sgd:steps=2", "lr": 1.0, "momentum": 0})
    assert deltas.name() == make_spec({"algorithm": "local-sgd:steps=2"}).name()


def test_long_names_and_names_in_any_script_are_file_names() -> None:
    long = make_spec(OTHER).name()
    assert len(long.encode()) <= 160
    assert long != make_spec({**OTHER, "seed": 2}).name()
    assert make_spec({**OTHER, "root": 51}).name() != long
    for text in ("名" * 100, "é" * 159 + "x", "a\udc80b", "../a", ""):
        assert len(file_name(text).encode()) <= 160
        assert "/" not in file_name(text)
    assert file_name("名" * 100) != file_name("名" * 101)


def test_another_rate_or_partition_is_another_run() -> None:
    once = ["run", *QUICK, "--rounds", "1", "--rule", "mean"]
    for more in ([], ["--lr", "0.2"], ["--partition", "s-fraction:s=0.5"]):
        invoke(*once, *more)
    assert len(list(Path("runs").iterdir())) == 3


def test_runs_of_a_key_with_several_values_are_named_by_all_of_them() -> None:
    table = {"rule": ["mean", "krum:f=2"], "seed": [0, 1], "attack": "min-max", "rounds": 50}
    name, heading = make_sweep(table, name="").told_by_values
    assert name == "fashion-mnist__min-max__rounds=50__rule=mean-krum-f=2__seed=0-1"
    assert heading == "rule: mean, krum:f=2; seed: 0, 1"
    for key, value in OTHER.items() | SAME.items() - {("data_path", "elsewhere")}:
        if key != "rule":
            assert make_sweep({"rule": ["mean", "median"], key: value}, name="").told_by_values[0] != name


def test_one_in_the_way_is_left_as_it_is() -> None:
    once = ["run", *QUICK, "--rounds", "1", "--rule", "mean"]
    invoke(*once, "--out", "old/one")
    before = {p.name: p.read_bytes() for p in Path("old/one").iterdir()}
    for place, holds in (("old", "old holds runs that are no cells of a sweep (one)"), ("old/one", "old/one holds")):
        text = failure(*once, "--rule", "median", "--out", place)
        assert holds in text
        assert f"such as --out {place}-2" in text
    assert {p.name: p.read_bytes() for p in Path("old/one").iterdir()} == before
    assert [p.name for p in Path("old").iterdir()] == ["one"]


def test_fewer_rounds_than_there_are_change_nothing_and_are_said() -> None:
    command = ["run", *QUICK, "--rule", "mean", "--out", "one"]
    invoke(*command, "--rounds", "4")
    before = {p.name: p.read_bytes() for p in Path("one").iterdir()}
    assert "one held 4 rounds, more than the 2 asked for: they are kept and shown" in invoke(*command, "--rounds", "2")
    after = {p.name: p.read_bytes() for p in Path("one").iterdir()}
    assert after["checkpoint.pt"] == before["checkpoint.pt"]
    assert after["records.jsonl"] == before["records.jsonl"]


def test_starting_anew_deletes_nothing_if_it_cannot_start() -> None:
    command = ["run", *QUICK, "--rule", "mean", "--rounds", "2", "--out", "one"]
    invoke(*command)
    before = {p.name: p.read_bytes() for p in Path("one").iterdir()}
    for wrong in (["--device", "cuda:99"], ["--partition", "degree:p=7"], ["--data-path", "nowhere"]):
        failure(*command, "--fresh", *wrong)
        assert {p.name: p.read_bytes() for p in Path("one").iterdir()} == before
    assert len(records(Path("one"))) == 2
