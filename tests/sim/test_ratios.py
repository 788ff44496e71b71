"""A run of FedSECA puts on record who was outvoted when, and its page shows it."""

from __future__ import annotations

from pathlib import Path

from fedward.experiments import RunFolder, execute
from fedward.experiments.spec import make_spec
from fedward.report import load_run, render
from fedward.report.scores import score, score_names

SETTING = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 5,
    "byzantine": 2,
    "batch_size": 50,
    "algorithm": "local-sgd:epochs=1",
    "rule": "fedseca:sparsity=0.5,momentum=0.5",
    "attack": "sign-flip",
    "rounds": 3,
    "evaluate_every": 3,
}


def test_who_was_outvoted_when_is_on_record_and_on_the_page(tmp_path: Path) -> None:
    execute(make_spec(SETTING), tmp_path / "run")
    for record in RunFolder(tmp_path / "run").read_records().records:
        assert record.scores == {"concordance": (0.0, 0.0, 0.2, 0.2, 0.2)}
        assert record.accepted == (False, False, True, True, True)
        assert record.reasons == {0: "outvoted", 1: "outvoted"}
        assert (record.byzantine_accepted, record.honest_accepted) == (0.0, 1.0)
    run = load_run(tmp_path / "run")
    assert score_names(run) == ["concordance"]
    drawn = score(run, "concordance")["data"]
    assert [(line["name"], line["y"]) for line in drawn] == 2 * [("byzantine", 3 * [0.0])] + 3 * [("honest", 3 * [0.2])]
    page = render([run])
    assert "<h3>Concordance</h3>" in page
    assert "Over all rounds: honest 0.2 to 0.2, mean 0.2; byzantine 0 to 0, mean 0." in page
    assert "outvoted (honest 0, byzantine 6)" in page


def test_a_majority_of_byzantine_clients_is_warned_of() -> None:
    few = {**SETTING, "clients": 6}
    assert make_spec(few).warning == ""
    for byzantine in (3, 4):
        told = make_spec({**few, "byzantine": byzantine}).warning
        assert told.startswith(f"{byzantine} of 6 clients are byzantine, which is half of them or more: ")
    both = make_spec({**few, "clients": 20, "byzantine": 10, "participation": 0.5, "rule": "trimmed-mean:f=4"}).warning
    assert "10 of 20 clients are byzantine" in both
    assert "more than f = 4 of them" in both
