"""The command line, tried as a user would."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app as cli
from fedward.cli import commands
from fedward.cli.shared import LISTS
from fedward.experiments.store import RunFolder
from tests.processes import PATIENCE, heed_interrupts, started, until

QUICK = [
    "--data",
    "fashion-mnist-subset",
    "--model",
    "linear",
    "--clients",
    "12",
    "--byzantine",
    "2",
    "--batch-size",
    "8",
]


def quick(option: str, value: str) -> list[str]:
    """The same with another value of one of them: no option may be given twice."""
    place = QUICK.index(option) + 1
    return [*QUICK[:place], value, *QUICK[place + 1 :]]


def invoke(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, list(arguments))
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.stdout if "--json" in arguments else result.output  # progress is for people


def failure(*arguments: str, code: int = 2) -> str:
    text = " ".join(invoke(*arguments, code=code).split())
    assert text.startswith("Error ")
    assert "Traceback" not in text
    return text


def records(folder: Path) -> list[dict[str, object]]:
    found = [json.loads(line) for line in RunFolder(folder).records.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "seconds"} for record in found]


# --- run ----------------------------------------------------------------------------------------------------


def test_run_stores_reports_and_shows() -> None:
    text = invoke("run", *QUICK, "--rounds", "6", "--evaluate-every", "2", "--out", "one")
    assert re.search(r"alie\s+sign-guard\s+\d+\.\d %", text)
    assert "round 6/6" in text
    assert [r["round"] for r in records(Path("one"))] == [1, 2, 3, 4, 5, 6]
    head = json.loads(Path("one/run.json").read_text())
    assert head["config"]["attack"] == "alie"
    assert head["byzantine_ids"] == [0, 1]
    assert "Report: page.html" in invoke("report", "one", "-o", "page.html")
    page = Path("page.html").read_text()
    assert "sign-guard" in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)


def test_json_is_all_there_is_on_standard_output() -> None:
    result = CliRunner().invoke(cli.app, ["run", *QUICK, "--rounds", "2", "--json"])
    summary = json.loads(result.stdout)["runs"][0]
    assert summary["rounds"] == 2
    assert summary["rule"] == "sign-guard"
    assert 0 <= summary["best_accuracy"] <= 1


def test_several_rules_and_attacks_make_a_sweep() -> None:
    choice = ["--rule", "mean", "--rule", "krum", "--attack", "alie", "--attack", "sign-flip:scale=3"]
    told = json.loads(
        CliRunner().invoke(cli.app, ["run", *QUICK, "--rounds", "2", "--out", "grid", "--json", *choice]).stdout
    )
    assert told["folder"] == "grid"
    assert [(cell["rule"], cell["attack"]) for cell in told["cells"]] == [
        ("mean", "alie"),
        ("krum:f=2", "alie"),
        ("mean", "sign-flip:scale=3"),
        ("krum:f=2", "sign-flip:scale=3"),
    ]
    [krum] = Path("grid/cells").glob("krum-under-alie-*")
    alone = ["--rule", "krum", "--rounds", "2", "--out", "alone"]
    invoke("run", *QUICK, *alone)
    assert records(Path("alone")) == records(krum)


def test_a_file_with_options_that_count_instead() -> None:
    Path("run.toml").write_text(
        'data = "fashion-mnist-subset"\nmodel = "linear"\nclients = 12\nbyzantine = 2\nrounds = 3\n'
        '[rule]\nname = "multi-krum"\nm = 4\n'
    )
    invoke("run", "--config", "run.toml", "--rounds", "2", "--attack", "noise", "--out", "one")
    config = json.loads(Path("one/run.json").read_text())["config"]
    assert (config["rule"], config["attack"], config["rounds"]) == ("multi-krum:f=2,m=4", "noise", 2)


def test_a_finished_run_is_shown_again_and_can_be_made_longer_or_anew() -> None:
    command = ["run", *QUICK, "--out", "one"]
    first = invoke(*command, "--rounds", "4")
    row = next(line for line in first.splitlines() if line.strip().startswith("alie "))
    again = invoke(*command, "--rounds", "4")
    assert row in again
    assert "4/4" not in again
    invoke(*command, "--rounds", "6")
    assert len(records(Path("one"))) == 6
    (Path("one") / "mine.txt").write_text("kept")
    invoke(*command, "--rounds", "2", "--fresh")
    assert len(records(Path("one"))) == 2
    assert (Path("one") / "mine.txt").exists()


def test_ctrl_c_loses_nothing() -> None:
    options = ["--rounds", "400", "--evaluate-every", "50", "--rule", "sign-guard-sim", *quick("--model", "mlp")]
    invoke("run", *options, "--out", "whole")
    command = [sys.executable, "-m", "fedward", "run", *options, "--out", "broken"]
    file = Path("broken/records.jsonl")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, text=True, preexec_fn=heed_interrupts, **pipes) as process:
        until(lambda: file.exists() and file.read_bytes().count(b"\n") >= 20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "The same command resumes." in errors
    assert "Traceback" not in errors
    assert 20 <= len(records(Path("broken"))) < 400
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    assert records(Path("broken")) == records(Path("whole"))


# --- rounds beyond one gradient -----------------------------------------------------------------------------

SILOS = ["--partition", "degree:p=0.5", "--dropout", "0.2", "--rounds", "3", "--evaluate-every", "1", "--root", "50"]


def test_siren_as_one_command() -> None:
    local = "siren-client:inner=(local-sgd:steps=4,lr=0.1)"
    options = [*QUICK, *SILOS, "--rule", "siren", "--algorithm", local, "--attack", "false-alarms:inner=sign-flip"]
    invoke("run", *options, "--out", "one")
    config = json.loads(Path("one/run.json").read_text())["config"]
    assert config["algorithm"] == "siren-client:inner=(local-sgd:batch_size=8,steps=4,lr=0.1)"
    assert (config["lr"], config["momentum"], config["weight_decay"]) == (1.0, 0.0, 0.0)
    assert config["dropout"] == 0.2
    assert records(Path("one"))[-1]["scores"]["malicious index"].count(None) == 2
    assert "is of another configuration" in failure("run", *options, "--late", "0.1", "--out", "one")
    invoke("report", "one", "-o", "page.html")
    assert "Malicious index" in Path("page.html").read_text()


def test_desgd_as_a_file() -> None:
    Path("desgd.toml").write_text(
        """
data = "fashion-mnist-subset"
model = "linear"
clients = 10
byzantine = 2
byzantine_data = "all"
partition = "k-classes:k=5"
rule = { name = "class-wise", base = { name = "trimmed-mean", f = 1 }, gamma = 0.25 }
algorithm = { name = "class-momentum", order = "printed" }
batch_size = 4
lr = 0.05
rounds = 2
"""
    )
    invoke("run", "--config", "desgd.toml", "--attack", "alie:z=1", "--out", "one")
    config = json.loads(Path("one/run.json").read_text())["config"]
    assert config["rule"].startswith("class-wise:base=")
    assert config["rule"].endswith("gamma=0.25")
    assert (config["lr"], config["momentum"], config["weight_decay"]) == (0.05, 0.9, 5e-4)
    assert {len(str(r["accepted"]).replace("-", "")) for r in records(Path("one"))} == {6}  # 4 of 8 hold a class, and 2


# --- what goes wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--rule", "sign-gard"],
            ["unknown rule 'sign-gard'", "did you mean 'sign-guard'?", " others (fedward list rules)"],
        ),
        (["--rule", "alie"], ["alie is an attack", "a rule is needed"]),
        (["--rule", "krum:g=2"], ["unknown argument of krum 'g'", "Valid names: f"]),
        (["--rule", "krum", "--clients", "20", "--byzantine", "9"], ["Krum(f=9, ", "n >= 2f + 3 = 21", "got 20"]),
        (["--byzantine", "50"], ["a number below n = 50 or distinct clients 0 to 49, got 50"]),
        (["--clients", "1"], ["a number below n = 1"]),
        (["--rounds", "0"], ["rounds", "greater than or equal to 1, got 0"]),
        (["--lr", "-1"], ["lr", "greater than 0"]),
        (["--data", "fashion-mnist-subst"], ["unknown data set", "did you mean 'fashion-mnist-subset'?"]),
        (["--model", "signguard"], ["sign-guard is a rule, a model is needed: signguard-cnn, "]),
        (["--partition", "s-fraction:s=2"], ["SFraction: s is a number from 0 to 1, got 2"]),
        (["--partition", "dirichle"], ["unknown partition", "did you mean 'dirichlet'?"]),
        (["--partition", "degree:p=2"], ["Degree: p is a number from 0 to 1, got 2"]),
        (["--algorithm", "local-sg"], ["unknown client algorithm 'local-sg'", "did you mean 'local-sgd'?"]),
        (["--algorithm", "mean"], ["mean is a rule, a client algorithm is needed", "others (fedward list clients)"]),
        (["--algorithm", "local-sgd:optimizer=lion"], ["one of sgd, adam, adamw, got 'lion'"]),
        (["--algorithm", "siren-client"], ["siren-client needs inner"]),
        (["--batch-norm", "off"], ["batch_norm", "'mean', 'robust' or 'frozen'", "got 'off'"]),
        (["--byzantine-data", "none"], ["byzantine_data", "'own' or 'all'"]),
        (["--dropout", "0.5", "--late", "0.5"], ["together must stay below 1", "0.5 and 0.5"]),
        (["--config", "none.toml"], ["none.toml: No such file", "TOML"]),
        (["--data-path", "nowhere", "--data", "mnist"], ["nowhere", "train-images-idx3-ubyte"]),
    ],
)
def test_mistakes_are_named_with_the_remedy(options: list[str], words: list[str]) -> None:
    text = failure("run", *options)
    for word in words:
        assert word in text
    assert not Path("runs").exists()


def test_a_misspelt_key_in_a_file_is_named_with_the_nearest() -> None:
    Path("run.toml").write_text("byzantin = 3\n")
    text = failure("run", "--config", "run.toml")
    assert text.startswith("Error run.toml: unknown key 'byzantin'; did you mean 'byzantine'?")
    Path("run.toml").write_text("byzantine = = 3\n")
    assert "run.toml: not a TOML file" in failure("run", "--config", "run.toml")


def test_a_truncated_data_file_is_named() -> None:
    from importlib import resources

    Path("data").mkdir()
    for file in (resources.files("fedward.data") / "datasets" / "fashion-mnist-subset").iterdir():
        if file.name.endswith(".gz"):
            (Path("data") / file.name).write_bytes(file.read_bytes())
    images = Path("data/train-images-idx3-ubyte.gz")
    images.write_bytes(images.read_bytes()[:100_000])
    text = failure("run", *quick("--data", "fashion-mnist"), "--data-path", "data")
    assert "train-images-idx3-ubyte.gz" in text
    assert "delete or replace this file" in text


def test_a_run_of_another_configuration_is_refused_and_left_alone() -> None:
    invoke("run", *QUICK, "--rounds", "2", "--out", "one")
    before = {p.name: p.read_bytes() for p in Path("one").iterdir()}
    text = failure("run", *QUICK, "--rounds", "4", "--lr", "0.2", "--out", "one")
    assert "server was 'ServerSGD(lr=0.1, " in text
    assert "now 'ServerSGD(lr=0.2, " in text
    assert "such as --out one-2. (--fresh would delete run.json, records.jsonl, checkpoint.pt in one (2 rounds)" in text
    assert {p.name: p.read_bytes() for p in Path("one").iterdir()} == before


def test_a_damaged_checkpoint_is_refused_and_left_alone() -> None:
    invoke("run", *QUICK, "--rounds", "2", "--out", "one")
    checkpoint = Path("one/checkpoint.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    text = failure("run", *QUICK, "--rounds", "4", "--out", "one")
    assert "cannot be read as a checkpoint" in text
    assert len(checkpoint.read_bytes()) == 1000
    assert len(records(Path("one"))) == 2


def test_a_report_about_nothing() -> None:
    assert "no such run folder" in failure("report", "nowhere")


# --- list and demo --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", LISTS)
def test_lists(what: str) -> None:
    rows = json.loads(invoke("list", what, "--json"))
    assert rows
    text = invoke("list", what)
    for row in rows:
        assert row["name"] in text


def test_listed_rules_say_what_they_need() -> None:
    rows = {row["name"]: row for row in json.loads(invoke("list", "rules", "--json"))}
    assert rows["krum"]["bound"] == "n >= 2f + 3"
    assert rows["krum"]["statistics"] == ["gram"]
    assert rows["krum"]["needs_f"]
    assert not rows["sign-guard"]["needs_f"]
    assert rows["sign-guard-sim"]["history"]
    assert all(row["passes"] == 2 for row in rows.values() if row["name"] in ("krum", "mean", "sign-guard"))


def test_demo_makes_a_table_and_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "DEMO", {**commands.DEMO, "rounds": 2, "model": "linear", "evaluate_every": 2})
    text = invoke("demo", "--out", "shown")
    for rule in ("mean", "median", "multi-krum:f=10", "sign-guard"):
        assert text.count(f" {rule} ") == 2
    assert "Report: shown/report.html" in text
    assert Path("shown/report.html").stat().st_size > 1_000_000


def test_version() -> None:
    import fedward

    assert invoke("--version").strip() == fedward.__version__
