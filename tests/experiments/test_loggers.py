"""Loggers: what they are told of a round; with what is installed, otherwise with a small writer in its place."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.experiments.loggers import LoggerError, TensorBoard, WeightsAndBiases, make_logger, scalars
from fedward.sim import Record

RECORD = Record(
    round=3,
    accuracy=0.5,
    by_class=(0.9, 0.1),
    loss=float("inf"),
    accepted=(True, False),
    honest_accepted=1.0,
    seconds={"aggregate": 0.25},
    signs={"honest": (0.5, 0.25, 0.25), "byzantine": None},
)
TOLD = {
    "accuracy": 0.5,
    "worst_class": 0.1,
    "honest_accepted": 1.0,
    "seconds/aggregate": 0.25,
    "signs/honest/+": 0.5,
    "signs/honest/0": 0.25,
    "signs/honest/-": 0.25,
}


def test_a_round_is_told_by_what_is_known_and_finite_of_it():
    assert scalars(RECORD) == TOLD


@pytest.fixture
def writer(monkeypatch):
    """What stands in for TensorBoard where that is not installed: it remembers what it was told."""
    told = []

    class SummaryWriter:
        def __init__(self, folder):
            told.append(("open", folder))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def flush(self):
            told.append("flush")

        def close(self):
            told.append("close")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return told


def test_tensorboard_is_told_every_figure_at_its_round_and_is_closed(tmp_path, writer):
    with make_logger("tensorboard", tmp_path, "it", {}) as log:
        log(RECORD)
    assert writer[0] == ("open", str(tmp_path / "tensorboard"))
    assert writer[1:-2] == [(name, value, 3) for name, value in TOLD.items()]
    assert writer[-2:] == ["flush", "close"]


@pytest.fixture
def wandb(monkeypatch):
    """What stands in for Weights & Biases."""
    told = []

    class Run:
        def log(self, values, step):
            told.append((values, step))

        def finish(self, exit_code):
            told.append(("finish", exit_code))

    def init(**options):
        told.append(options)
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    return told


def test_weights_and_biases_is_told_offline_unless_asked(tmp_path, wandb):
    with make_logger("wandb", tmp_path / "new", "it", {"rule": "mean"}) as log:
        log(RECORD)
    options = {"project": "fedward", "name": "it", "config": {"rule": "mean"}, "dir": str(tmp_path / "new")}
    assert wandb == [{**options, "mode": "offline"}, (TOLD, 3), ("finish", 0)]
    with pytest.raises(ZeroDivisionError), WeightsAndBiases(tmp_path, name="it", config={}, mode="online"):
        raise ZeroDivisionError
    assert wandb[-2]["mode"] == "online"
    assert wandb[-1] == ("finish", 1)


@pytest.mark.parametrize(("what", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_one_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch, what, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LoggerError, match=f"is not installed: pip install {what} "):
        make_logger(what, tmp_path, "it", {})
    with pytest.raises(LoggerError, match="there are tensorboard, wandb"):
        make_logger("tensorbord", tmp_path, "it", {})


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_itself_writes_event_files(tmp_path):
    with TensorBoard(tmp_path) as log:
        log(RECORD)
    [file] = tmp_path.glob("events.out.tfevents.*")
    assert b"honest_accepted" in file.read_bytes()


def test_a_run_is_logged_round_by_round_from_the_command_line(tmp_path, writer):
    short = ["--data", "fashion-mnist-subset", "--clients", "4", "--byzantine", "1", "--rounds", "2", "--rule", "mean"]
    options = [
        *short,
        "--batch-size",
        "2",
        "--evaluate-every",
        "2",
        "--out",
        str(tmp_path / "run"),
        "--log",
        "tensorboard",
    ]
    done = CliRunner().invoke(app, ["run", *options])
    assert done.exit_code == 0, done.output
    assert [told[2] for told in writer if told[0] == "honest_accepted"] == [1, 2]
    assert writer[-1] == "close"
    several = CliRunner().invoke(app, ["run", *options, "--rule", "median"])
    assert several.exit_code == 2
    assert "follows one run" in several.output
