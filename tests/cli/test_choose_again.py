"""`fedward choose` again, in a folder of other settings: one sentence before any work, not one a rule after it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.test_choose import SHORT
from tests.cli.test_cli import failure, invoke

COMMAND = ["choose", "--rule", "mean", "--rule", "median", *SHORT, "--out", "here"]


def test_another_number_of_rounds_is_one_sentence_before_any_work() -> None:
    invoke(*COMMAND)
    before = {file: file.read_bytes() for file in Path("here/findings").iterdir()}
    assert len(before) == 2
    other = [{"2": "3"}.get(word, word) if COMMAND[k - 1] == "--rounds" else word for k, word in enumerate(COMMAND)]
    assert " ".join(failure(*other).split()) == (
        "Error here holds examinations of other settings (rounds): choose another folder, such as --out here-2. "
        "(--fresh would delete the 2 files of their results, and start anew.)"
    )
    assert {file: file.read_bytes() for file in Path("here/findings").iterdir()} == before
    # What is not an examination at all is for whoever reads it to say, and stops no other rule.
    next(iter(before)).write_bytes(b"[]\n")
    complaint = invoke(*COMMAND, code=1).rpartition("Error ")[2]
    assert complaint.count(".jsonl") == 1, complaint
