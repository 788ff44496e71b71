"""`fedward watch` of what is no audit: it says so at once, and ends; of what is not there, that it waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedward.cli import awaited
from fedward.cli.serving import make_server
from tests.cli.test_watch import ask, told
from tests.processes import heed_interrupts, started
from tests.report.test_audit_page import rounds, write

NONE = {
    "records of a run": b'{"round": 1, "accepted": [true], "reasons": {}}\n',
    "another format": b'{"round": 1, "nodes": [], "format": 99}\n',
    "text": b"accuracy,round\n",
    "text without an end": b"accuracy",
    "JSON": b'{\n "round": 1\n}\n',
    "a list": b"[1, 2]\n",
    "bytes": bytes(range(256)),
}


@pytest.mark.parametrize("way", ["--once", "--json", "--serve", ""])
@pytest.mark.parametrize("kind", [*NONE, "a model", "a run's folder"])
def test_what_is_no_audit_is_refused(kind: str, way: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    if kind == "a model":
        torch.save({"weight": torch.ones(4)}, file)
    elif kind == "a run's folder":
        file.mkdir()
        (file / "run.json").write_text("{}")
    else:
        file.write_bytes(NONE[kind])
    found = told(str(file), *filter(None, [way]))
    assert found.exit_code == 2, found.output
    assert "audit.jsonl is " in found.stderr
    assert "audit of a federation" in found.stderr
    assert found.stdout == ""


def test_what_an_audit_of_files_printed_is_told_from_one_of_a_federation(tmp_path: Path) -> None:
    (file := tmp_path / "audit.json").write_text(json.dumps({"report": None, "base": "b.pt"}, indent=1))
    said = " ".join(told(str(file), "--once").stderr.split())
    assert "each line of one is JSON of a round" in said
    assert "what fedward audit --json prints is none" in said
    assert "Expecting" not in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such device")
@pytest.mark.parametrize("way", ["--once", "--serve", ""])
def test_a_device_is_refused(way: str) -> None:
    found = told("/dev/zero", *filter(None, [way]))
    assert (found.exit_code, found.stdout) == (2, "")
    assert "/dev/zero cannot be read: is a device, not a regular file" in found.stderr


def test_an_audit_with_a_broken_line_is_one(tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(1))
    file.write_text("no line\n" + file.read_text())
    found = told(str(file), "--once", "--json")
    assert found.exit_code == 0
    assert "lines that cannot be read: 1" in found.stderr
    assert json.loads(found.stdout.splitlines()[-1])["round"] == 1


def test_an_audit_that_has_not_begun_is_said_to_have_no_round(tmp_path: Path) -> None:
    for text in ("", '{"round": 1, "no'):
        (tmp_path / "audit.jsonl").write_text(text)
        found = told(str(tmp_path), "--once")
        assert (found.exit_code, found.stdout) == (0, "")
        assert "has no round yet" in found.stderr


def test_the_page_says_of_a_file_that_comes_later_that_it_is_none(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with make_server(file, "127.0.0.1", 0) as server:
        from threading import Thread

        Thread(target=server.serve_forever, daemon=True).start()
        file.write_bytes(NONE["text"])
        assert "is no audit" in json.loads(ask(server.server_port, "/lines")[1])["failed"]
        server.shutdown()


def test_it_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fedward.cli.awaited import say_awaited; "
        f"say_awaited(Path({str(tmp_path / 'x')!r}), once=False, as_json=False, serve=None, host=None); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == f"Waiting for {tmp_path / 'x'}, which RobustFedAvg(audit=...) writes\n"


def test_the_command_says_it_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before all is loaded, after which Ctrl-C is seen to."""

    def too_late() -> None:
        raise AssertionError("everything was loaded first")

    monkeypatch.setattr("fedward.cli.options.interrupts_raise", too_late)
    found = told(str(tmp_path / "audit.jsonl"), "--once")
    assert found.exit_code == 2
    assert "no such file" in found.stderr
    assert awaited.WatchError.asked


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send on Windows")
def test_a_file_that_is_there_is_said_to_be_watched(tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(1))
    command = [sys.executable, "-m", "fedward", "watch", str(file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, text=True, preexec_fn=heed_interrupts, **pipes) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == f"Watching {file}; Ctrl-C ends it\n"
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
