"""A table of verdicts has a line for every client, whatever clients are called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import fedward as fw
from fedward import rules

EVIL = "x\x1b[2K\rclient-3\nclient-0  0.0000  no  \ufe0f\u202e"


def test_an_id_forges_no_line_and_obeys_no_terminal() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 4))
    rows[4, 0] = np.nan
    table = fw.Aggregator(rules.Mean())(rows, ids=[EVIL, "b", "c", "d", EVIL[1:]]).table()
    assert len(table.splitlines()) >= 7
    for sign in ("\x1b", "\r", "\ufe0f", "\u202e"):
        assert sign not in table
    assert not any(line.startswith("client-0") for line in table.splitlines())
    lines = table.splitlines()[:7]
    place = lines[0].index("weight")
    assert all(line[place - 2 : place] == "  " for line in (lines[0], *lines[2:]))


def test_details_and_the_note_are_lines_of_their_own() -> None:
    result = fw.Aggregator(rules.Mean())(np.ones((3, 2)))
    told = replace(result, details={EVIL: EVIL, 1: "lacks b"}, note=f"by {EVIL}").table()
    assert told.splitlines()[-2:] == ["1: lacks b", f"by {told.splitlines()[-1][3:]}"]
    assert len(told.splitlines()) == 2 + 3 + 3
    assert "\x1b" not in told
