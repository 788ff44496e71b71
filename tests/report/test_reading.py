"""What the report reads of a run's folder, and what it refuses."""

import json
import sys

import pytest

from fedward.report import ReportError, load_run, render, write_report
from tests.report.runs import Page, page_of, record, write_run


def test_a_run_is_read_as_written(tmp_path):
    run = load_run(write_run(tmp_path / "a"))
    assert (run.name, run.byzantine_ids, run.clients, run.rounds) == ("a", (0,), 4, 2)
    assert run.config["rule"] == "krum:f=1"
    assert run.best is run.records[1]
    assert run.records[0].reasons == {0: "far"}
    assert run.records[0].signs["honest"] == (0.5, 0.1, 0.4)
    assert run.notes == ()


def text_of(folder, name, text):
    (folder / name).write_text(text)


GOOD = json.dumps(record(1)) + "\n"
HEAD = {"format": 1, "name": "a", "config": {}, "byzantine_ids": [0]}


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda f: (f / "run.json").unlink(), r"run\.json: no such file"),
        (lambda f: (f / "records.jsonl").unlink(), r"records\.jsonl: no such file"),
        (lambda f: text_of(f, "records.jsonl", ""), r"records\.jsonl: no complete round; wait"),
        (
            lambda f: text_of(f, "records.jsonl", '{"round": 1, "acc'),
            r"records\.jsonl: no complete round; wait",
        ),
        (
            lambda f: text_of(f, "records.jsonl", GOOD + "{oops\n" + GOOD),
            r"records\.jsonl, line 2: not valid JSON.*del",
        ),
        (lambda f: text_of(f, "records.jsonl", GOOD + "[1]\n"), r"records\.jsonl, line 2: .*JSON object"),
        (lambda f: text_of(f, "records.jsonl", '{"round": 1}\n'), r"line 1: .*no entry 'accepted'"),
        (lambda f: text_of(f, "records.jsonl", GOOD.replace("0111", "01x1")), r"line 1: .*one of 1, 0 and -"),
        (
            lambda f: text_of(f, "records.jsonl", GOOD + GOOD.replace("0111", "011")),
            r"line 2: .*3 clients.*have 4",
        ),
        (
            lambda f: text_of(f, "records.jsonl", json.dumps(record(1, accuracy=91))),
            r"line 1: .*accuracy.*0\.\.1, got 91",
        ),
        (lambda f: text_of(f, "records.jsonl", json.dumps(record("1"))), r"line 1: .*round must be"),
        (lambda f: text_of(f, "run.json", "{"), r"run\.json: not valid JSON"),
        (lambda f: text_of(f, "run.json", "[]"), r"run\.json: no format number"),
        (
            lambda f: text_of(f, "run.json", '{"format": 2}'),
            r"run\.json: format 2.*reads format 1; use the version",
        ),
        (
            lambda f: text_of(f, "run.json", '{"format": 1, "name": "a"}'),
            r"run\.json: config, byzantine_ids missing",
        ),
        (
            lambda f: text_of(f, "run.json", json.dumps(HEAD | {"byzantine_ids": [7]})),
            r"run\.json: .*0\.\.3.*got 7\.\.7",
        ),
    ],
)
def test_a_broken_run_names_the_file_and_the_remedy(tmp_path, spoil, match):
    folder = write_run(tmp_path / "a")
    spoil(folder)
    with pytest.raises(ReportError, match=match):
        load_run(folder)


def test_a_missing_folder_and_an_empty_list_are_errors(tmp_path):
    with pytest.raises(ReportError, match="missing: no such run folder"):
        load_run(tmp_path / "missing")
    with pytest.raises(ReportError, match="no run folders given"):
        write_report([], tmp_path / "out.html")
    with pytest.raises(ReportError, match=r"name a file to write"):
        write_report([write_run(tmp_path / "a")], tmp_path)


def test_plotly_missing_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ReportError, match="pip install"):
        page_of(write_run(tmp_path / "a"))


@pytest.mark.parametrize(
    "tail", [b'{"round": 3, "accur', b"\x00" * 9, '{"round": 3, "reasons": {"0": "é'.encode()[:-1]]
)
def test_a_half_written_last_line_is_left_out_and_noted(tmp_path, tail):
    folder = write_run(tmp_path / "a")
    with (folder / "records.jsonl").open("ab") as file:
        file.write(tail)
    run = load_run(folder)
    assert run.rounds == 2
    assert "line 3" in run.notes[0]
    assert run.notes[0] in Page(render([run])).text


def test_a_complete_last_line_without_a_newline_counts(tmp_path):
    folder = write_run(tmp_path / "a")
    with (folder / "records.jsonl").open("a") as file:
        file.write(json.dumps(record(3)))
    run = load_run(folder)
    assert (run.rounds, run.notes) == (3, ())


def test_of_a_round_on_record_twice_the_later_line_counts(tmp_path):
    entries = [
        record(1),
        record(2, accuracy=0.1),
        record(3),
        record(2, accuracy=0.9),
        record(3, accuracy=0.8),
    ]
    run = load_run(write_run(tmp_path / "a", entries))
    assert [r.round for r in run.records] == [1, 2, 3]
    assert [r.accuracy for r in run.records] == [None, 0.9, 0.8]
    assert run.notes[0].endswith("(a resumed run): 2.")
