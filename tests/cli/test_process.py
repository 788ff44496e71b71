"""The command as a process: what it loads, what terminals it writes to, and how it ends when it is interrupted."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fedward
from fedward.cli.terminal import write_anything
from tests.cli.test_cli import QUICK
from tests.processes import PATIENCE, heed_interrupts, started

HEAVY = ("scipy", "sklearn", "pydantic", "plotly", "rich", "numba", "typer", "click", "safetensors", "flwr")
LOADED = "; import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, timeout=PATIENCE, check=False, env={**os.environ, **environment}
    )


def loaded(*steps: str) -> list[set[str]]:
    """What has been loaded after each of these steps of one process."""
    done = python("-c", "\n".join(step + LOADED for step in steps))
    assert done.returncode == 0, done.stderr
    return [set(json.loads(line)) for line in done.stdout.splitlines() if line.startswith(b"[")]


# --- what is loaded -------------------------------------------------------------------------------------------


def test_the_library_loads_nothing_heavy_but_pytorch() -> None:
    everything = "from fedward import *; import fedward.stack, fedward.clients; assert len(catalogue('rule')) > 30"
    at_first, then = loaded("import fedward", everything)
    assert not at_first & {*HEAVY, "torch", "numpy"}
    assert not then & set(HEAVY)


def test_version_and_help_load_no_pytorch() -> None:
    for option in ("--version", "--help"):
        code = f"import sys; from fedward.__main__ import main; sys.argv = ['fedward', {option!r}]\n"
        code += "try: main()\nexcept SystemExit: pass\nimport sys"
        [modules] = loaded(code)
        assert not modules & {"torch", "numpy", "pydantic", "plotly"}


def test_public_names_are_there_and_no_others() -> None:
    assert set(fedward.__all__) <= set(dir(fedward))
    for name in fedward.__all__:
        assert getattr(fedward, name) is not None
    assert fedward.flower.RobustFedAvg
    with pytest.raises(AttributeError, match="'fedward' has no attribute 'nothing'"):
        fedward.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from fedward import nothing  # noqa: F401


def test_names_of_the_catalogue_are_taken_before_it_is_loaded() -> None:
    code = """
import dataclasses
from fedward import Rule, register
try:
    @register("krum", paper="mine")
    @dataclasses.dataclass(frozen=True)
    class Mine(Rule):
        def decide(self, updates, state, context): ...
except ValueError as error:
    print(error)
"""
    assert b"the name 'krum' is taken by fedward.rules.distance.Krum" in python("-c", code).stdout


# --- terminals ------------------------------------------------------------------------------------------------

PLAIN = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "gbk"}, PLAIN], ids=["gbk", "posix"])
def test_other_encodings_get_what_they_can_write(environment: dict[str, str], tmp_path: Path) -> None:
    """All that the commands write: lists, a run into a folder with a strange name, errors with strange words."""
    code = f"""
import os, sys
from fedward.__main__ import main
os.chdir({str(tmp_path)!r})
name = os.fsdecode(b"Zo\\xc3\\xab-\\xe5\\x90\\x8d-\\x80")
quick = {QUICK!r} + ["--rounds", "1", "--rule", "mean", "--out", name]
for words in (
    ["list", "rules"], ["list", "attacks"], ["list", "data"], ["list", "models"], ["run", "--help"], ["run", *quick],
    ["report", name], ["run", "--rule", name], ["list", name], ["report", name + "x"],
):
    sys.argv = ["fedward", *words]
    try:
        main()
    except SystemExit as end:
        print("STATUS", end.code)
"""
    done = python("-c", code, **environment)
    assert done.returncode == 0, done.stderr
    status = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(b"STATUS")]
    assert status == [b"0"] * 7 + [b"2", b"2", b"2"], done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Blanchard et al." in done.stdout


@pytest.mark.parametrize(
    ("encoding", "words"), [("ascii", ["Muller", "e", "?", "?", "?"]), ("utf-8", ["Müller", "é", "名", "?", "─"])]
)
def test_a_letter_that_an_encoding_lacks_becomes_the_nearest(encoding: str, words: list[str]) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    write_anything(stream)
    print("M\xfcller \xe9 \u540d \udc80 \u2500", file=stream, flush=True)
    assert written.getvalue().decode(encoding).split() == words


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "fedward", "list", "rules"]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() in (0, 1)


# --- Ctrl-C ---------------------------------------------------------------------------------------------------

ENDLESS = [*QUICK, "--rounds", "1000000", "--evaluate-every", "1000000", "--threads", "1"]


@pytest.mark.parametrize(
    ("module", "delay", "rules"),
    [
        ("fedward.cli.terminal", 0.1, ["mean"]),
        ("torch._C", 0.0, ["mean"]),
        ("fedward.redteam", 0.0, ["mean"]),
        ("fedward.redteam", 2.0, ["mean", "median"]),
    ],
)
def test_ctrl_c_while_starting(module: str, delay: float, rules: list[str], tmp_path: Path) -> None:
    """Sent to all processes, as a terminal does, a while after this module was loaded."""
    chosen = [word for rule in rules for word in ("--rule", rule)]
    command = [sys.executable, "-X", "importtime", "-m", "fedward", "run", *ENDLESS, *chosen]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(
        command, cwd=tmp_path, text=True, start_new_session=True, preexec_fn=heed_interrupts, **pipes
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.split("|")[-1].strip() == module)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Stopped" in errors
    assert "Traceback" not in errors
