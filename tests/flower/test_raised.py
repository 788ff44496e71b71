"""What a node's app raised reaches whoever reads the log, the audit, an error or the page, however it was wrapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Error, Message

from fedward.flower import RobustFedAvg, SkippedError
from fedward.flower.answers import raised
from fedward.report import write_report

from .federation import InProcess, Quadratic, liars, model

HEAD = "<class 'ray.exceptions.RayTaskError(ClientAppException)'>"
AT = "\x1b[36mray::ClientAppActor.run()\x1b[39m (pid=8860, ip=10.0.0.1, actor_id=92a2, repr=<flwr.simulation.Actor>)"
RAY = f"""{HEAD}:<'{AT}
  File "/home/me/app/client.py", line 11, in train
{"    deeper()" * 90}
ZeroDivisionError: boom in client 4

The above exception was the direct cause of the following exception:

{AT}
ClientAppException:{" "}
Exception ClientAppException occurred. Message: boom in client 4'>"""


def failing(node: Any, text: str) -> Any:
    def mod(message: Message, context: Context, call_next: Any) -> Message:
        return Message(Error(2, text), reply_to=message) if node(context) else call_next(message, context)

    return Quadratic([mod]).app


def test_the_last_line_of_what_ray_wraps_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, page = tmp_path / "audit.jsonl", tmp_path / "page.html"
    strategy = RobustFedAvg(rule="median", audit=file, fraction_evaluate=0.0)
    strategy.start(InProcess(failing(liars(4), RAY)), model(), num_rounds=1)
    told = f"code 2: {HEAD} ... Exception ClientAppException occurred. Message: boom in client 4"
    (dropped,) = strategy.audits[0].dropped
    assert dropped.detail == told
    assert f"error: {told}" in caplog.text
    assert told in [node.get("detail") for node in json.loads(file.read_text())["nodes"]]
    write_report([file], page)
    assert "boom in client 4" in page.read_text()
    everywhere = RobustFedAvg(rule="median", fraction_evaluate=0.0)
    with pytest.raises(SkippedError, match="boom in client 4"):
        everywhere.start(InProcess(failing(lambda context: True, RAY)), model(), num_rounds=1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<class 'ValueError'>:<'boom'>", "<class 'ValueError'>:<'boom'>"),
        ("\x1b[31mboom\x1b[0m", "boom"),
        ("one\ntwo", "one\\ntwo"),
        ("Traceback of something\n" + "x\n" * 200 + "Error: boom\n\n", "Traceback of something ... Error: boom"),
        ("a" * 300 + "\nboom", "a" * 60 + " ... boom"),
        ("a" * 300, "a" * 200 + "... (300 characters)"),
        ("head\n" + "b" * 300, "head ... " + "b" * 200 + "... (300 characters)"),
        ("\n" * 300, "\\n" * 200 + "... (300 characters)"),
        ("x\n" * 150 + "\x1b[2J\u202eboom", "x ... \\x1b[2J\\u202eboom"),
    ],
)
def test_any_text_is_one_line_of_bounded_length(text: str, told: str) -> None:
    assert raised(text) == told
