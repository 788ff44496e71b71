"""`fedward watch`: in the terminal, for programs, and as a page in a real browser."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.cli.serving import is_local, make_server
from fedward.cli.watching import standing_shown
from fedward.report import write_report
from fedward.report.following import FederationStanding, read_from
from tests.processes import heed_interrupts, started
from tests.report.browser import PROGRAM, Browser
from tests.report.test_audit_page import HOSTILE, node, rounds, write


def told(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["watch", *arguments])


def test_a_line_a_round_where_there_is_no_terminal(tmp_path: Path) -> None:
    write(tmp_path / "audit.jsonl", *rounds(2))
    found = told(str(tmp_path), "--once")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[:4] == [
        "after round 0, server: accuracy 0.1",
        "round 1: 1 of 3 nodes kept; dropped clinic-b (30, far); no answer from 5",
        "after round 1, nodes together: accuracy 0.3",
        "after round 1, server: accuracy 0.25",
    ]


def test_for_programs(tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(1))
    lines = [json.loads(line) for line in told(str(file), "--once", "--json").stdout.splitlines()]
    assert [node["mark"] for node in lines[1]["nodes"]] == ["-", "1", "0"]
    assert lines[3] == {"round": 1, "evaluated": "server", "metrics": {"accuracy": 0.25}}


def test_rounds_on_record_twice_are_said(tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(2), *rounds(2))
    for how in ([], ["--json"]):
        assert "rounds on record twice, as if of two runs: 2\n" in told(str(file), "--once", *how).stderr
    standing = FederationStanding()
    standing.take(read_from(file))
    page = io.StringIO()
    Console(width=100, file=page).print(standing_shown(standing, 40, 100))
    assert "rounds on record twice, as if of two runs: 2" in page.getvalue()


def test_what_cannot_be_watched_is_a_sentence(tmp_path: Path) -> None:
    found = told(str(tmp_path / "audit.jsonl"), "--once")
    assert found.exit_code == 2
    assert "no such file; without --once it is waited for" in found.stderr
    found = told(str(tmp_path / "audit.jsonl"), "--once", "--serve")
    assert found.exit_code == 2
    assert "leave one of them out" in found.stderr


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send on Windows")
def test_a_file_that_comes_later_is_waited_for_and_followed(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    command = [sys.executable, "-m", "fedward", "watch", str(file)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(command, text=True, preexec_fn=heed_interrupts, **pipes) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == f"Waiting for {file}, which RobustFedAvg(audit=...) writes\n"
        write(file, *rounds(1))
        assert "accuracy 0.1" in process.stdout.readline()
        for _ in range(3):
            process.stdout.readline()
        with file.open("a") as opened:
            opened.write(json.dumps({"round": 2, "nodes": [node(7, "clinic-a")]}) + "\n")
        assert process.stdout.readline() == "round 2: 1 of 1 nodes kept\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


@pytest.mark.parametrize("width", [60, 110])
def test_the_table_fits_its_terminal(tmp_path: Path, width: int) -> None:
    lines = [
        {"round": 1, "rule": "krum", "nodes": [node(k, f"n{k}", "far" if k > 90 else "accepted") for k in range(1, 99)]}
    ]
    standing = FederationStanding()
    standing.take(read_from(write(tmp_path / "audit.jsonl", *lines)))
    console = Console(width=width, height=20, record=True, file=io.StringIO())
    console.print(standing_shown(standing, 20, width))
    shown = console.export_text().splitlines()
    assert len(shown) <= 20
    assert "krum, round 1: 90 of 98 nodes kept" in shown[0]
    assert any("n91" in line for line in shown)  # dropped ones first, where there is not room for all
    assert "87 more nodes, which are dropped less often" in shown[-1]


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_table_has_the_id_beside_a_name(tmp_path: Path, width: int) -> None:
    ids = [9_000_000_000_000_000_000, 8_123_456_789_012_345_678]
    lines = [{"round": r, "nodes": [node(ids[0], "clinic-a", "far"), node(ids[1], "cl\u0456nic-a")]} for r in (1, 2)]
    standing = FederationStanding()
    standing.take(read_from(write(tmp_path / "audit.jsonl", *lines)))
    console = Console(width=width, height=20, record=True, file=io.StringIO())
    console.print(standing_shown(standing, 20, width))
    shown = console.export_text().splitlines()
    assert max(map(len, shown)) <= width
    for name, own in (("clinic-a", "\u202600000"), ("cl\u0456nic-a", "\u202645678")):
        (line,) = [line for line in shown if name in line]
        assert own in line
    assert shown[2].split()[:6] == ["node", "id", "accepted", "dropped", "no", "answer"]


# --- the page -----------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    file = tmp_path / "audit.jsonl"
    with make_server(file, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield file, server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    if answer.status == 200:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_nothing_but_the_page_and_the_lines_is_served(served: tuple[Path, int]) -> None:
    file, port = served
    (file.parent / "secret").write_text("secret")
    assert json.loads(ask(port, "/lines")[1]) == {"waiting": True}
    write(file, *rounds(1))
    assert ask(port, "/")[0] == 200
    for path in ("/secret", "/../secret", "/audit.jsonl", "//etc/passwd", "/lines/../secret"):
        assert ask(port, path)[0] == 404
    for query in (
        "offset=-1",
        "offset=x",
        "offset=" + "9" * 17,
        "offset=%D9%A3",
        "file=" + "x" * 99,
    ):
        assert ask(port, f"/lines?{query}")[0] == 400
    assert ask(port, "/", method="POST")[0] == 501
    file.unlink()
    file.mkdir()
    assert "failed" in json.loads(ask(port, "/lines")[1])


def test_another_name_than_this_machines_is_refused(served: tuple[Path, int]) -> None:
    """Else a page elsewhere could have its own name lead to this machine, and read the audit."""
    _, port = served
    assert ask(port, "/", f"localhost:{port}")[0] == 200
    for host in ("attacker.example", f"127.0.0.1.attacker.example:{port}", "[", ""):
        assert ask(port, "/lines", host or " ")[0] in (400, 403)


def test_who_can_read_it() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1", "example.org")] == [
        *[True] * 3,
        *[False] * 3,
    ]


def test_a_port_that_is_taken_is_a_sentence(served: tuple[Path, int]) -> None:
    file, port = served
    found = told(str(file), "--serve", str(port))
    assert found.exit_code == 1
    assert f"127.0.0.1:{port} cannot be served: Address already in use; give another port" in found.stderr


LONG = "Universit\u00e4tsklinikum-Schleswig-Holstein-Campus-Kiel-"
ROWS = "[...document.querySelectorAll('#nodes tr')].map((row) => row.cells[0].firstChild.textContent)"


@pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")
def test_the_page_follows_the_file(served: tuple[Path, int]) -> None:
    file, port = served
    page = f"http://127.0.0.1:{port}/"
    with Browser() as browser:
        browser.open(page)
        browser.until("document.getElementById('state').textContent === 'waiting for the file'", patience=60)
        write(file, *rounds(2))
        browser.until("document.getElementById('round').textContent === '2'")
        assert browser.run(ROWS) == ["5", "clinic-a", "clinic-b"]
        assert browser.run("document.getElementById('kept').textContent") == "1 of 3"
        assert browser.run("document.getElementById('found').textContent") == "0.5"
        assert browser.run("[...document.querySelectorAll('#scores option')].map((o) => o.value)") == [
            "norm",
            "trimmed",
        ]
        browser.choose("#scores select", "trimmed")

        bad = node(9, HOSTILE, HOSTILE, accepted=False, detail=HOSTILE, scores={HOSTILE: 1.0, "__proto__": 2.0})
        both = [bad, node(3, LONG)]
        skipped = {"round": 3, "rule": HOSTILE, "skipped": HOSTILE, "note": HOSTILE, "nodes": both}
        hostile = write(file.with_name("more"), skipped, {"round": 3, "evaluated": "server", "metrics": {HOSTILE: 1.0}})
        with file.open("a") as opened:
            opened.write(hostile.read_text() + "no line\n")
        browser.until("document.getElementById('round').textContent === '3'")
        assert "<script>alert(1)</script>" in browser.run("document.getElementById('skipped').textContent")
        assert browser.run("document.querySelectorAll('main script').length") == 0
        assert browser.run("document.getElementById('left').textContent") == "1"

        browser.resize(400)
        assert browser.run("document.documentElement.scrollWidth") <= 400

        os.rename(file, file.with_name("audit-1.jsonl"))
        write(file, *rounds(1))
        browser.until("document.getElementById('round').textContent === '1'")
        assert browser.run(ROWS) == ["5", "clinic-a", "clinic-b"]
        assert browser.errors == []


@pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")
def test_the_report_is_no_wider_than_a_phone(tmp_path: Path) -> None:
    lines = rounds(4)
    for line in lines:
        for one in line.get("nodes", ()):
            one["name"] = f"{LONG}{one['node']}"
    write_report([write(tmp_path / "audit.jsonl", *lines)], tmp_path / "report.html")
    with Browser() as browser:
        browser.open(tmp_path / "report.html", 400)
        assert browser.run("document.documentElement.scrollWidth") <= 400
        browser.until("document.querySelectorAll('.plot[data-drawn] .main-svg').length >= 1", patience=60)
        assert browser.errors == []
