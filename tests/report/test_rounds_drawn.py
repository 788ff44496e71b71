"""What became of clients round by round: maps, rates, shares of signs, scores."""

import base64
import math

import numpy as np
import pytest

from fedward.report import ReportError, clientmap, load_run, rates, render
from fedward.report.series import trailing_mean
from tests.report.runs import Page, page_of, record, write_run

# ------------------------------------------------------------------------------------------------ the figures


def long_run(tmp_path, rounds, clients, byzantine=(1,), seed=0):
    rng = np.random.default_rng(seed)
    marks = rng.choice(list("10-"), size=(rounds, clients), p=[0.5, 0.4, 0.1])
    entries = []
    for number, row in enumerate(marks, 1):
        reasons = {str(i): str(rng.choice(["far", "sign"])) for i in np.flatnonzero(row == "0")}
        entries.append(record(number, "".join(row), reasons=reasons))
    return load_run(write_run(tmp_path / "long", entries, head={"byzantine_ids": list(byzantine)}))


@pytest.mark.parametrize(("rounds", "columns", "width"), [(7, 7, 1), (400, 400, 1), (401, 201, 2), (1001, 334, 3)])
def test_the_client_map_equals_a_count_by_hand(tmp_path, rounds, columns, width):
    run = long_run(tmp_path, rounds, 4)
    cells = clientmap.client_map(run)
    assert cells.clients == [0, 2, 3, 1]
    assert (cells.width, cells.share.shape, len(cells.edges)) == (width, (4, columns), columns + 1)
    assert cells.edges[0] == 0.5
    assert cells.edges[1] == width + 0.5
    assert cells.edges[-1] == rounds + 0.5
    for row, client in enumerate(cells.clients):
        for column in range(columns):
            held = run.records[column * width : (column + 1) * width]
            verdicts = [r.accepted[client] for r in held if r.accepted[client] is not None]
            expected = round(100 * sum(verdicts) / len(verdicts)) if verdicts else -1
            assert abs(cells.share[row, column] - expected) <= (1 if expected > 0 else 0)
            why = [r.reasons[client] for r in held if client in r.reasons]
            reason = cells.reasons[cells.reason[row, column]]
            assert why.count(reason) == max(why.count("far"), why.count("sign")) if why else reason == ""


def test_rounding_never_hides_a_single_drop(tmp_path, monkeypatch):
    monkeypatch.setattr(clientmap, "MAX_COLUMNS", 1)
    entries = [record(number, "10" if number != 5 else "01") for number in range(1, 50 * 210 + 1)]
    cells = clientmap.client_map(load_run(write_run(tmp_path / "a", entries)))
    assert cells.share.shape == (2, 50)
    rows = {client: cells.share[row].tolist() for row, client in enumerate(cells.clients)}
    assert rows[0] == [99] + [100] * 49
    assert rows[1] == [1] + [0] * 49


def test_the_client_map_of_thousands_of_clients_stays_small(tmp_path):
    run = load_run(write_run(tmp_path / "a", [record(n, "1" * 4000, reasons={}) for n in range(1, 201)]))
    assert clientmap.client_map(run).share.shape == (4000, 50)


def test_the_packed_cells_are_the_client_map(tmp_path):
    run = long_run(tmp_path, 401, 5, byzantine=(0, 3))
    cells, packed = clientmap.client_map(run), clientmap.clients_by_round(run)["cells"]
    shape = (5, packed["columns"])
    share = np.frombuffer(base64.b64decode(packed["share"]), dtype=np.int8).reshape(shape)
    reason = np.frombuffer(base64.b64decode(packed["reason"]), dtype=np.uint8).reshape(shape)
    assert np.array_equal(share, cells.share)
    assert np.array_equal(reason, cells.reason)
    told = [f"<b>client {client}</b>, honest" for client in (1, 2, 4)]
    assert packed["called"] == [*told, *(f"<b>client {client}</b>, byzantine" for client in (0, 3))]


def test_the_caption_states_bins_and_window(tmp_path):
    text = Page(render([long_run(tmp_path, 1001, 4)])).text
    assert "each column sums up 3 successive rounds" in text
    assert "mean of the last 50 rounds" in text


def test_the_trailing_mean_equals_a_loop():
    values = np.array([np.nan, 1.0, 0.0, np.nan, np.nan, np.nan, 0.5, 1.0])
    for window in (1, 2, 3, 8, 20):
        expected = []
        for end in range(1, len(values) + 1):
            held = [v for v in values[max(0, end - window) : end] if not math.isnan(v)]
            expected.append(sum(held) / len(held) if held else math.nan)
        np.testing.assert_allclose(trailing_mean(values, window), expected)


def test_the_lines_hold_the_rates_and_the_sign_shares(tmp_path):
    entries = [record(1, honest_accepted=0.5, byzantine_accepted=None), record(2)]
    run = load_run(write_run(tmp_path / "a", entries))
    lines = {line["name"]: line["y"] for line in rates.acceptance(run)["data"]}
    assert lines == {"honest": [0.5, 1.0], "byzantine": [None, 0.0]}
    shares = [(line["name"], line["y"][0]) for line in rates.signs(run)["data"]]
    assert shares[::2] == [("honest", 0.5), ("honest", 0.1), ("honest", 0.4)]
    assert shares[1::2] == [("byzantine", 0.3), ("byzantine", 0.1), ("byzantine", 0.6)]


def test_virtual_rows_have_a_dotted_line_of_their_own(tmp_path):
    signs = {"honest": [0.5, 0.1, 0.4], "byzantine": None, "virtual": [0.2, 0.1, 0.7]}
    run = load_run(write_run(tmp_path / "a", [record(1, signs=signs)]))
    lines = [(line["name"], line["y"][0], line["line"]["dash"]) for line in rates.signs(run)["data"]]
    assert lines[:2] == [("honest", 0.5, "solid"), ("virtual", 0.2, "dot")]


def test_a_run_of_1200_rounds_adds_little_to_the_page(tmp_path):
    run = long_run(tmp_path, 1200, 50, byzantine=range(10))
    assert len(render([run, run])) - len(render([run])) < 400_000


# ------------------------------------------------------------------------------------------------ scores


def scored(number, values, note="no alarm"):
    return record(number, accuracy=0.5, loss=1.0, note=note, scores={"malicious index": values})


def test_what_a_rule_put_on_record_is_drawn_and_its_decisions_are_counted(tmp_path):
    records = [scored(1, [1.0, 0.0, 0.0, None]), scored(2, [2.0, None, 0.0, 0.5], "false alarms"), scored(3, [2.5] * 4)]
    page = Page(page_of(write_run(tmp_path / "a", records)))
    assert "Rounds by the way they were decided: no alarm 2, false alarms 1." in page.text
    figure = page.figures["run-1-score-0"]
    lines = {line["hovertemplate"].split(":")[0]: line for line in figure["data"]}
    assert lines["client 0"]["y"] == [1.0, 2.0, 2.5]
    assert lines["client 1"]["y"] == [0.0, 0.0, 2.5]
    assert lines["client 3"]["y"] == [None, 0.5, 2.5]
    assert (lines["client 0"]["name"], lines["client 1"]["name"]) == ("byzantine", "honest")
    assert [line["showlegend"] for line in figure["data"]] == [True, True, False, False]
    assert "Malicious index" in page.text


def test_a_run_without_scores_says_nothing_of_them(tmp_path):
    page = Page(page_of(write_run(tmp_path / "a")))
    assert not [name for name in page.figures if "score" in name]
    assert "decided" not in page.text


@pytest.mark.parametrize("values", [[1.0], "high", [1.0, 2.0, "x", None]])
def test_scores_that_do_not_fit_the_clients_are_refused(tmp_path, values):
    with pytest.raises(ReportError, match="not a record of a round"):
        load_run(write_run(tmp_path / "a", [record(1, scores={"malicious index": values})]))
