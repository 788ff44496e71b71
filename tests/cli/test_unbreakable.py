"""What an unlucky user types ends in a sentence, soon and in little memory: no traceback, no hang, no silence."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.progress import Progress

from fedward.cli import display
from fedward.cli.terminal import never_failing
from fedward.experiments.spec import SpecError, make_spec
from fedward.registry.notation import parse
from tests.fuzz.forked import command

SECONDS = 60  # on a busy machine; each takes a fifth of a second on an idle one, with training two
MEMORY = 1 << 30
SETTING = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": "6",
    "byzantine": "1",
    "rounds": "1",
    "batch-size": "2",
    "attack": "no-attack",
    "rule": "mean",
}


def run(**options: str) -> list[str]:
    given = {**SETTING, **{key.replace("_", "-"): value for key, value in options.items()}}
    return ["run", *(word for key, value in given.items() for word in (f"--{key}", value))]


REFUSED: dict[str, tuple[list[str], str]] = {
    **{f"device {d!r}": (run(device=d), f"device {d!r} cannot be used") for d in ("tpu", "cuda", "", "cuda:99")},
    **{f"lr {lr}": (run(lr=lr), "lr is a number above 0 and of at most 3e+38") for lr in ("1e308", "inf", "1e39")},
    "lr of text": (run(server="sgd:lr=1e300"), "of at most 3e+38"),
    "lr of Adam": (run(server="fed-adam:lr=inf"), "of at most 3e+38"),
    **{f"weight decay {w}": (run(weight_decay=w), "from 0 to 3e+38") for w in ("1e308", "inf")},
    **{f"seed {s}": (run(seed=str(s)), "less than 18446744073709551616") for s in (2**64, 10**100)},
    "seed of a partition": (["data", "show", "fashion-mnist-subset", "--seed", str(2**64)], "is not in the range"),
    "threads -1": (run(threads="-1"), "is not in the range x>=1"),
    "participation": (run(participation="1e-300"), "needs n >= 1 clients, got 0"),
    **{f"rule {r}": (run(rule=r), f"cannot import '{r}'") for r in ("..", ".", "a..b", ".x")},
    "attack for a rule": (run(rule="class-wise:base=alie"), "base is a rule"),
    "attack for a client": (run(algorithm="siren-client:inner=alie"), "inner is a client algorithm"),
    "label of a class": (run(attack="targeted-poisoning:source=99"), "label 99 is not one of the 10 classes"),
    "label to be": (run(attack="targeted-poisoning:label=99"), "label 99 is not one of the 10 classes"),
    "label flipped": (run(attack="label-flip:source=99,target=1"), "label 99 is not one of the 10 classes"),
    "backdoor": (run(attack="backdoor:label=99"), "label 99 is not one of the 10 classes"),
    "classes": (run(partition="k-classes:k=99"), "k must lie between"),
    "endless classes": (run(partition="k-classes:k=inf"), "k is a whole number"),
    "nobody's home": (run(data="mnist", data_path="~nosuchuser/x"), "is not a folder"),
    "iterations": (run(rule="dnc:iterations=1000000000"), "from 1 to 10000"),
    "iterations of a median": (run(rule="geometric-median:iterations=1000000000"), "from 1 to 10000"),
    "clients": (run(clients="1000000000"), "less than or equal to 1000000"),
    "clients shown": (["data", "show", "fashion-mnist-subset", "--clients", "1000000000"], "use at most 10000 clients"),
    "a client more than samples": (run(clients="10001"), "use at most 10000 clients"),
    "digits": (run(byzantine="9" * 5000), "no clients of more than 9 digits"),
    "nobody attacks": (["redteam", "--rule", "mean", "--byzantine", "0"], "nothing to examine; take 1 at least"),
    "captured": (["redteam", "--rule", "mean", "--captured", "1000000000"], "is not in the range 1<=x<=1000"),
    "a word for a flag": (run(rule="sign-guard:clip=no"), "clip is true or false"),
    "a number for a flag": (run(rule="sign-guard:clip=0"), "clip is true or false"),
    "nested": (run(rule="class-wise:base=(" * 1000 + "mean" + ")" * 1000), "nested more than 50 deep"),
    "nested without brackets": (run(rule="class-wise:base=" * 1000 + "mean"), "nested more than 50 deep"),
    "a long chain": (run(rule=" >> ".join(["nnm:f=1"] * 1000 + ["mean"])), "nested more than 50 deep"),
    "long": (run(rule="x" * 10**5), "a text of 100,000 characters"),
    "a long name": (run(rule="x" * 19_000), "unknown rule 'xxx"),
    "brackets": (run(rule="krum:f=" + "[" * 5000 + "]" * 5000), "f is a whole number"),
    "hyphens": (run(rule="krum:f=" + "-" * 15_000 + "1"), "f is a whole number"),
    "null": (run(out="a\0b"), "null character"),
    "markup for a command": (["[/x]"], "No such command"),
    "markup for a choice": (["list", "[/x]"], "is not one of"),
    "markup for a rule": (run(rule="[/x]"), "unknown rule '[/x]'"),
    "markup for data": (run(data="[/x]"), "unknown data set '[/x]'"),
    "markup for a file": (["report", "[/x]"], "[/x]: no such run folder"),
    "a device for a file": (["run", "--config", "/dev/zero"], "not a regular file"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_is_said(case: str, tmp_path: Path) -> None:
    words, said = REFUSED[case]
    ended = command(words, tmp_path, seconds=SECONDS, memory=MEMORY)
    assert not ended.late
    assert not ended.full
    assert not ended.crashed, ended.said
    assert ended.status in (1, 2)
    assert said in " ".join(ended.said.replace("│", " ").split())
    assert len(ended.said) < 10_000
    assert not list(tmp_path.rglob("*.part*"))


TOML = {
    "nested": ("rule = " + "[" * 100_000, "nested too deeply"),
    "keys in keys": ("a" + ".a" * 20_000 + " = 1", "nested too deeply"),
    "tables in tables": ("[a" + ".a" * 20_000 + "]", "nested too deeply"),
    "digits": ("seed = " + "9" * 10_000, "not a TOML file"),
    "long": ("#" * (1 << 20) + "#", "holds more than 1,048,576 bytes"),
    "a flag": ("seed = true\n", "seed: it is no flag"),
    "a flag for clients": ("clients = false\n", "clients: it is no flag"),
    "a flag for a rule": ("rule = true\n", "rule: it is no flag"),
    "a number for a flag": ("root_apart = 3\n", "root_apart: Input should be a valid boolean"),
    "a table in a table": ("rule.name = 'krum'\nrule.f" + ".f" * 45 + " = 1\n", "f is a whole number"),
}


@pytest.mark.parametrize("case", list(TOML))
def test_what_stands_in_a_configuration_is_no_harm(case: str, tmp_path: Path) -> None:
    text, said = TOML[case]
    (tmp_path / "run.toml").write_text(text)
    ended = command(["run", "--config", "run.toml"], tmp_path, seconds=SECONDS, memory=MEMORY)
    assert (ended.status, ended.late, ended.crashed) == (1, False, False), ended.said
    assert said in ended.said
    assert len(ended.said) < 10_000
    assert ended.bytes < MEMORY / 4


def test_pipes_are_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.toml")
    ended = command(["run", "--config", "run.toml"], tmp_path, seconds=SECONDS, memory=MEMORY)
    assert "is a FIFO, not a regular file" in ended.said


DONE = {
    "threads": run(threads="100000"),
    "markup for a folder": run(out="o/[/x]"),
    "markup for folders": [*run(out="o/[/x]", rule="mean"), "--rule", "median"],
    "round numbers": run(batch_size="99999999999999999999"),
    "the largest seed": run(seed=str(2**64 - 1)),
}


@pytest.mark.parametrize("case", list(DONE))
def test_what_can_be_done_is_done(case: str, tmp_path: Path) -> None:
    ended = command(DONE[case], tmp_path, seconds=SECONDS, memory=2 << 30 if "folders" not in case else 1 << 40)
    assert (ended.status, ended.late, ended.crashed) == (0, False, False), ended.said
    if "markup" in case:
        assert "o/[/x]" in ended.said
        assert (tmp_path / "o" / "[").is_dir()


# --- the places where text is printed -------------------------------------------------------------------------


def test_names_are_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is shown passes through one of two consoles, and neither knows any markup."""
    for console in (display.out, display.err):
        console.print("[/x] [bold] :smile:", highlight=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == "[/x] [bold] :smile:\n"
    jobs = display.JobsProgress({Path("[/x]"): ("[/x] under [red]", 3)})
    bar: Progress = jobs._bar
    display.out.print(bar.make_tasks_table(bar.tasks))
    assert "[/x] under [red]" in capsys.readouterr().out


def test_no_other_console_prints() -> None:
    """A console or a table with markup of its own would be a second place."""
    for file in Path(display.__file__).parent.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "Text.from_markup" not in text
        assert text.count("Console(") == (2 if file.name == "display.py" else 0), file
        assert "rich.print" not in text
        assert text.count("TextColumn(") == text.count('TextColumn("{task.description}", markup=False'), file


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_progress_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fedward", *run(out="run", evaluate_every="1", rounds="2")]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(words, cwd=tmp_path, stderr=full, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 0
    assert "2 rounds" in ended.stdout
    assert (tmp_path / "run" / "checkpoint.pt").exists()


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_fails_is_written_to_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(Full(), encoding="utf-8")  # which closes what it writes to when nobody has it any longer
    full: Any = never_failing(stream)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        for _ in range(5000):
            typer.echo("progress", err=True)
        full.flush()
    assert never_failing(None) is None


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["seed", "clients", "byzantine", "lr", "rounds", "data", "rule", "dropout"])
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_no_value(key: str, value: bool) -> None:
    with pytest.raises(SpecError, match=f"{key}: it is no flag"):
        make_spec({key: value})


def test_what_is_nested_to_a_useful_depth_is_read() -> None:
    text = "class-wise:base=(clip-norm:radius=median >> " * 4 + "krum:f=1" + ")" * 4
    assert parse(text, "rule").traits()
    parse("groups:attacks=(" + " | ".join(["alie:z=1.5"] * 500) + ")", "attack")
    table: Any = {"name": "krum", "f": 1}
    for _ in range(60):
        table = {"name": "class-wise", "base": table}
    with pytest.raises(ValueError, match="a table is nested more than 50 deep"):
        parse(table, "rule")
