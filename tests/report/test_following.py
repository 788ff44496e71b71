"""An audit is followed while it grows: whole lines alone, from where one left off, in bounded memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fedward.report import following
from fedward.report.audit_lines import EvaluationEntry, RoundEntry
from fedward.report.audits import load_audit
from fedward.report.following import FederationStanding, line_told, read_from, round_in_words
from tests.report.test_audit_page import HOSTILE, node, rounds, write


def test_what_was_added_is_read_once_it_is_whole(tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(1))
    first = read_from(file)
    assert [type(line) for line in first.lines] == [EvaluationEntry, RoundEntry, EvaluationEntry, EvaluationEntry]
    assert (first.again, first.more, first.broken) == (False, False, 0)
    line = json.dumps({"round": 2, "nodes": [node(7)]})
    with file.open("a") as opened:
        opened.write(line[:20])
    half = read_from(file, first.offset, first.file)
    assert (half.lines, half.offset, half.more) == ((), first.offset, False)
    with file.open("a") as opened:
        opened.write(line[20:] + "\nno line\n")
    whole = read_from(file, half.offset, half.file)
    assert [entry.round for entry in whole.lines] == [2]
    assert (whole.offset, whole.broken) == (file.stat().st_size, 1)


def test_pieces_add_up_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(30))
    monkeypatch.setattr(following, "_PIECE", 900)
    found, offset, name, pieces = [], 0, "", 0
    while True:
        piece = read_from(file, offset, name)
        found += piece.lines
        offset, name, pieces = piece.offset, piece.file, pieces + 1
        if not piece.more:
            break
    assert tuple(found) == read_from_whole(file)
    assert pieces > 10


def read_from_whole(file: Path) -> tuple[object, ...]:
    return tuple(following.read_line(line) for line in file.read_bytes().splitlines())


@pytest.mark.parametrize("how", ["replaced", "cut", "rewritten"])
def test_another_file_of_that_name_is_read_from_its_beginning(tmp_path: Path, how: str) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds(3))
    before = read_from(file)
    if how == "replaced":
        os.rename(file, tmp_path / "audit-1.jsonl")
        write(file, *rounds(4))
    else:
        write(file, *rounds(1 if how == "cut" else 5)[how == "rewritten" :])
    after = read_from(file, before.offset, before.file)
    assert after.again
    assert len(after.lines) == len(read_from(file).lines)
    standing = FederationStanding()
    standing.take(before)
    standing.take(after)
    assert standing.rounds == sum(isinstance(line, RoundEntry) for line in after.lines)


@pytest.mark.parametrize("then", [b"", b'{"round": 1, "nodes": []}\n'])
def test_a_line_without_an_end_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: bytes) -> None:
    monkeypatch.setattr(following, "_PIECE", 1000)
    monkeypatch.setattr(following, "_LONGEST", 5000)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"x" * 20_500 + (b"\n" + then if then else b""))
    offset, name, lines, broken = 0, "", 0, 0
    for _ in range(5):
        piece = read_from(file, offset, name)
        assert not piece.again
        offset, name = piece.offset, piece.file
        lines += len(piece.lines)
        broken += piece.broken
        if not piece.more:
            break
    assert (lines, broken) == ((1, 1) if then else (0, 0))


def test_what_a_file_says_cannot_reach_a_terminal(tmp_path: Path) -> None:
    bad = node(9, HOSTILE, HOSTILE, accepted=False, detail=HOSTILE, scores={HOSTILE: 1.0})
    file = write(
        tmp_path / "audit.jsonl", {"round": 2, "rule": HOSTILE, "skipped": HOSTILE, "note": HOSTILE, "nodes": [bad]}
    )
    (line,) = read_from(file).lines
    assert isinstance(line, RoundEntry)
    for text in (json.dumps(line_told(line), ensure_ascii=False), round_in_words(line)):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_nodes_of_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    cyrillic = "cl\u0456nic-a"
    forged = "b (1, far), clinic-a"
    nodes = [node(1, "clinic-a"), node(5, cyrillic, "far"), node(6, forged, "far"), node(7, "c", "missing")]
    file = write(tmp_path / "audit.jsonl", {"round": 1, "nodes": nodes})
    (line,) = read_from(file).lines
    assert isinstance(line, RoundEntry)
    assert round_in_words(line) == (
        f'round 1: 1 of 4 nodes kept; dropped "{forged}" (6, far), {cyrillic} (5, far); no answer from c (7)'
    )
    standing = FederationStanding()
    standing.take(read_from(file))
    assert [one.node for one in standing.nodes.values()] == ["1", "5", "6", "7"]


def test_memory_is_bounded_by_nodes_and_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_MOST_NODES", 20)
    standing = FederationStanding()
    lines = [{"round": r, "nodes": [node(k, f"n{k}") for k in (1, *range(50 * r, 50 * r + 15))]} for r in range(1, 60)]
    standing.take(read_from(write(tmp_path / "audit.jsonl", *lines)))
    assert len(standing.nodes) == 20
    assert standing.nodes["n1"].kept == 59
    assert len(standing.nodes["n1"].recent) == 40


def test_a_node_that_names_itself_keeps_what_was_known_of_it(tmp_path: Path) -> None:
    standing = FederationStanding()
    lines = [{"round": 1, "nodes": [node(7, reason="missing")]}, {"round": 2, "nodes": [node(7, "a")]}]
    standing.take(read_from(write(tmp_path / "audit.jsonl", *lines)))
    assert {name: (one.kept, one.silent) for name, one in standing.nodes.items()} == {"a": (1, 1)}


def test_a_round_in_words(tmp_path: Path) -> None:
    (line,) = [
        line for line in read_from(write(tmp_path / "audit.jsonl", *rounds(1))).lines if isinstance(line, RoundEntry)
    ]
    assert round_in_words(line) == "round 1: 1 of 3 nodes kept; dropped clinic-b (30, far); no answer from 5"


def test_rounds_of_two_runs_in_one_file_are_counted(tmp_path: Path) -> None:
    """As a server that was started beside the first one left them."""
    order = [1, 2, 3, 2, 3, 4]
    file = write(tmp_path / "audit.jsonl", *({"round": k, "nodes": [node(1)]} for k in order))
    standing = FederationStanding()
    standing.take(read_from(file))
    assert standing.repeats.rounds == 2
    assert load_audit(file).notes == ("Rounds on record twice, as if of two runs, of which the later line counts: 2.",)


def test_nodes_are_in_the_order_of_names(tmp_path: Path) -> None:
    nodes = [node(k, f"node-{13 - k}", "far") for k in range(1, 11)]
    (line,) = read_from(write(tmp_path / "audit.jsonl", {"round": 1, "nodes": nodes})).lines
    assert isinstance(line, RoundEntry)
    names = [f"node-{k}" for k in range(3, 13)]
    assert [told["name"] for told in line_told(line)["nodes"]] == names
    words = round_in_words(line)
    assert sorted(names, key=lambda name: words.index(name + " ")) == names
