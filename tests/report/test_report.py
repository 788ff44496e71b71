"""The HTML report: what it reads, what it refuses, and what ends up on the page."""

import base64
import json
import math
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from fedward.report import ReportError, clientmap, load_run, rates, render, write_report
from fedward.report.curves import Curve, line_style
from fedward.report.grid import best_by_cell, is_grid, place
from fedward.report.series import trailing_mean

CONFIG = {
    "data": "fashion-mnist",
    "model": "cnn",
    "rule": "krum:f=1",
    "attack": "alie:z=0.3",
    "partition": "iid",
}


def record(number, accepted="0111", **more):
    entry = {
        "round": number,
        "accuracy": None,
        "loss": None,
        "train_loss": 1.5,
        "byzantine_accepted": 0.0,
        "honest_accepted": 1.0,
        "accepted": accepted,
        "reasons": {str(i): "far" for i, mark in enumerate(accepted) if mark == "0"},
        "signs": {"honest": [0.5, 0.1, 0.4], "byzantine": [0.3, 0.1, 0.6]},
        "seconds": {"gradients": 0.1, "aggregate": 0.02},
    }
    return entry | more


def write_run(folder, records=None, head=None, **config):
    folder.mkdir(parents=True)
    records = [record(1, accuracy=0.25, loss=2.0), record(2, accuracy=0.5, loss=1.0)] if records is None else records
    top = {
        "format": 1,
        "name": folder.name,
        "config": CONFIG | config,
        "byzantine_ids": [0],
        "versions": {"torch": "9"},
    }
    (folder / "run.json").write_text(json.dumps(top | (head or {})))
    (folder / "records.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in records))
    return folder


def page_of(*folders, **kwargs):
    return render([load_run(folder) for folder in folders], **kwargs)


class Page(HTMLParser):
    """The tags of a page, the text a reader sees, and the figures, read strictly."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.figures, self.text, self.inside = [], {}, "", None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = (tag, dict(attrs))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.text += data
        elif self.inside[1].get("type") == "application/json":
            name = self.inside[1]["id"].removesuffix("-data")
            self.figures[name] = json.loads(data, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))


# ------------------------------------------------------------------------------------------------ reading


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


# ------------------------------------------------------------------------------------------------ the page


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    from plotly.offline import get_plotlyjs

    folders = [write_run(tmp_path / "secret-place" / name) for name in ("a", "b")]
    out = write_report(folders, tmp_path / "new" / "report.html", title="Trial")
    assert out == tmp_path / "new" / "report.html"
    page = out.read_text(encoding="utf-8")
    assert page.count(get_plotlyjs()) == 1
    assert page.count("* plotly.js v") == 1
    parsed = Page(page)
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for key in ("src", "srcset", "href", "data", "action"):
            assert attributes.get(key, "#").startswith("#"), (tag, attributes)
    policies = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    styles = re.findall(r"<style>(.*?)</style>", page.split("* plotly.js v")[0], re.S)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    # plotly.js offers to upload a chart to its makers' server unless told not to
    assert 'showSendToCloud: false, plotlyServerURL: ""' in page
    assert str(tmp_path) not in page
    assert "secret-place" not in page


def test_every_figure_is_valid_and_every_link_leads_somewhere(tmp_path):
    from plotly.graph_objects import Figure

    runs = [
        write_run(tmp_path / f"{rule}-{attack}", rule=rule, attack=attack)
        for rule in ("krum", "mean")
        for attack in ("a", "b", "c", "d")
    ]
    parsed = Page(page_of(*runs))
    assert len(parsed.figures) == 4 + 3 * 8
    for name, figure in parsed.figures.items():
        assert ("div", name) in [(tag, attributes.get("id")) for tag, attributes in parsed.tags]
        Figure(data=figure["data"], layout=figure["layout"])  # raises for a property plotly does not know
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert len(links) == 8
    assert {link[1:] for link in links} <= set(ids)


def test_the_summary_holds_the_numbers(tmp_path):
    entries = [
        record(1, accuracy=0.5, honest_accepted=0.5, byzantine_accepted=1.0),
        record(2, accuracy=0.8125, byzantine_accepted=None, seconds={"gradients": 0.3}),
        record(3, accuracy=0.7071, byzantine_accepted=0.5, seconds={}),
    ]
    page = page_of(write_run(tmp_path / "first", entries, rounds=10))
    row = re.search(r'<tr><td><a href="#run-1">first</a>.*?</tr>', page).group()
    cells = [re.sub("<.*?>", " ", cell).split() for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
    assert cells[1:3] == [["krum:f=1"], ["alie:z=0.3"]]
    assert cells[3:5] == [["81.25%", "round", "2"], ["70.71%"]]
    assert cells[5:] == [["83.3%"], ["75.0%"], ["3", "of", "10"], ["0.21"]]
    text = Page(page).text
    assert "far (honest 0, byzantine 3)" in text
    assert "fashion-mnist" in text
    assert re.search(r"gradients\s*133\s*0\.4", text)


HOSTILE = "<script>alert('x')</script>\"&%{y}</style>"


def test_strings_of_a_run_never_become_markup(tmp_path):
    folder = write_run(
        tmp_path / "a",
        [record(1, accuracy=0.5, reasons={"0": HOSTILE}, seconds={HOSTILE: 1.0})],
        head={"name": HOSTILE, "versions": {HOSTILE: HOSTILE}},
        rule=HOSTILE,
        attack=HOSTILE,
        data=HOSTILE,
        **{HOSTILE: [HOSTILE]},
    )
    tame = Page(page_of(write_run(tmp_path / "b", [record(1, accuracy=0.5, seconds={"s": 1.0})], x=["y"])))
    page = page_of(folder, title=HOSTILE)
    parsed = Page(page)
    assert HOSTILE not in page
    # a short rule or attack comes in a span that keeps it on one line, a long one may be broken
    kept = ("span", "wbr")
    assert [tag for tag, _ in parsed.tags if tag not in kept] == [tag for tag, _ in tame.tags if tag not in kept]
    assert parsed.text.count(HOSTILE) >= 10
    curve = parsed.figures["accuracy-1"]["data"][0]
    assert "<script" not in curve["name"] + curve["hovertemplate"]
    assert curve["hovertemplate"].count("%{y") == 1
    assert "<" not in "".join(parsed.figures["run-1-clients"]["cells"]["reasons"])


ABSENT = record(1, "----", reasons={}, honest_accepted=None, byzantine_accepted=None, signs=None, seconds={})


@pytest.mark.parametrize(
    ("records", "head", "config", "said"),
    [
        ([record(1), record(2)], {}, {}, "No run was evaluated"),
        (
            [record(1, accuracy=0.5, byzantine_accepted=None)],
            {"byzantine_ids": []},
            {"attack": None},
            "no attack",
        ),
        (
            [record(1, signs={"honest": [1, 0, 0], "byzantine": None})],
            {"byzantine_ids": []},
            {},
            "none byzantine",
        ),
        ([record(1, signs=None)], {}, {}, "No sign shares"),
        ([ABSENT], {}, {}, "No accepted rates"),
        ([record(1)], {"byzantine_ids": [0, 1, 2, 3]}, {}, "4 byzantine"),
        (
            [record(1, train_loss=math.nan, loss=math.inf, accuracy=0.1)],
            {},
            {},
            "loss is not finite in round 1.",
        ),
        ([{"round": 7, "accepted": "1"}], {"config": {}}, {}, "unknown rule"),
    ],
)
def test_a_run_with_something_missing_still_renders(tmp_path, records, head, config, said):
    parsed = Page(page_of(write_run(tmp_path / "a", records, head, **config)))
    assert said in parsed.text
    assert "run-1-clients" in parsed.figures


def test_a_run_that_was_never_evaluated_is_named_beside_the_others(tmp_path):
    parsed = Page(page_of(write_run(tmp_path / "a"), write_run(tmp_path / "silent", [record(1)])))
    assert "Never evaluated, so not shown: silent." in parsed.text
    assert len(parsed.figures["accuracy-1"]["data"]) == 1


# ------------------------------------------------------------------------------------------------ the grid


def placed(tmp_path, *configs):
    return place([load_run(write_run(tmp_path / f"run{i}", **config)) for i, config in enumerate(configs)])


def test_a_grid_needs_several_rules_and_several_attacks(tmp_path):
    runs = placed(tmp_path, *({"rule": r, "attack": a} for r in ("mean", "krum") for a in (None, "zero")))
    assert is_grid(runs)
    assert not is_grid(runs[:2])  # one rule
    assert not is_grid(runs[::2])  # one attack
    assert [entry.column for entry in runs[:2]] == ["no attack", "zero"]
    title = "Best accuracy by rule and attack"
    assert title in render([entry.run for entry in runs])
    assert title not in render([entry.run for entry in runs[:2]])


def test_seeds_share_a_cell_and_other_settings_do_not(tmp_path):
    seeds = placed(tmp_path / "s", {"seed": 0}, {"seed": 1}, {"seed": 1, "rule": "mean"})
    assert [entry.row for entry in seeds] == ["krum:f=1", "krum:f=1", "mean"]
    assert best_by_cell(seeds) == {("krum:f=1", "alie:z=0.3"): [0.5, 0.5], ("mean", "alie:z=0.3"): [0.5]}
    rates = placed(tmp_path / "r", {"lr": 0.1}, {"lr": 0.2})
    assert [entry.row for entry in rates] == ["krum:f=1 · lr 0.1", "krum:f=1 · lr 0.2"]
    tasks = placed(tmp_path / "t", {"data": "mnist"}, {"data": "cifar10"})
    assert [entry.column for entry in tasks] == ["alie:z=0.3 · mnist", "alie:z=0.3 · cifar10"]
    # a run without attack that has no byzantine clients does not split the rule into two rows
    clean = placed(tmp_path / "c", {"attack": None, "byzantine": 0}, {"byzantine": 10})
    assert [entry.row for entry in clean] == ["krum:f=1", "krum:f=1"]


def test_the_heat_table_shows_means_ranges_and_gaps(tmp_path):
    runs = [
        load_run(write_run(tmp_path / name, [record(1, accuracy=accuracy)], rule=rule, attack=attack, seed=seed))
        for name, rule, attack, seed, accuracy in (
            ("a", "krum", "x", 0, 0.6),
            ("b", "krum", "x", 1, 0.8),
            ("c", "mean", "x", 0, 0.75),
            ("d", "mean", "y", 0, 0.1),
        )
    ]
    table = re.search(r'<table class="heat">.*?</table>', render(runs), re.S).group()
    cells = re.findall(r"<td.*?</td>", table)
    assert [re.sub("<.*?>", " ", cell).split()[0] for cell in cells] == [
        "70.00%",
        "&ndash;",
        "75.00%",
        "10.00%",
    ]
    assert "2 runs, 60.0% to 80.0%" in cells[0]
    assert [('class="best"' in cell) for cell in cells] == [False, False, True, True]


def test_equal_names_are_told_apart(tmp_path):
    folders = [tmp_path / "x" / "one", tmp_path / "x" / "two", tmp_path / "y" / "two"]
    runs = [load_run(write_run(folder, head={"name": "same"})) for folder in folders]
    assert [entry.label for entry in place(runs)] == ["same (one)", "same (two) #1", "same (two) #2"]


def test_panels_are_attacks_and_colours_are_rules(tmp_path):
    runs = placed(tmp_path, *({"rule": r, "attack": a} for r in ("mean", "krum") for a in ("x", "y", "z")))
    page = Page(render([entry.run for entry in runs]))
    panels = [page.figures[f"accuracy-{number}"] for number in (1, 2, 3)]
    assert [[curve["name"] for curve in panel["data"]] for panel in panels] == [["mean", "krum"]] * 3
    for number, rule in enumerate(("mean", "krum")):
        styles = [(panel["data"][number]["line"]["color"], panel["data"][number]["line"]["dash"]) for panel in panels]
        assert set(styles) == {tuple(line_style(number).values())}, rule
    assert len({line_style(number)["color"] + line_style(number)["dash"] for number in range(28)}) == 28
    assert len({(*panel["layout"]["yaxis"]["range"], *panel["layout"]["xaxis"]["range"]) for panel in panels}) == 1


def test_titles_of_panels_are_whole_however_long(tmp_path):
    long = "random-schedule:attacks=(no-attack | random | noise | alie | min-max),every={}"
    runs = placed(tmp_path, *({"rule": r, "attack": long.format(n)} for r in ("mean", "krum") for n in (20, 30)))
    page = render([entry.run for entry in runs])
    titles = [re.sub("<.*?>", "", title) for title in re.findall('<section class="panel"><h3>(.*?)</h3>', page)]
    assert titles == [long.format(20), long.format(30)]


def test_seeds_are_one_line_with_a_band(tmp_path):
    runs = []
    for seed, accuracies in enumerate(((0.5, 0.6), (0.7, 0.6))):
        entries = [record(number, accuracy=value) for number, value in enumerate(accuracies, 1)]
        runs.append(load_run(write_run(tmp_path / str(seed), entries, seed=seed)))
    band, line = Page(render(runs)).figures["accuracy-1"]["data"]
    assert line["y"] == [0.6, 0.6]
    assert line["customdata"][0][0] == " ± 14.14%, 2 runs"  # sqrt(0.1^2 + 0.1^2), n - 1 = 1
    assert band["x"] == [1, 2, 2, 1]
    assert band["y"] == [0.7414, 0.6, 0.6, 0.4586]
    assert band["meta"] == line["meta"]
    points = Curve(name="", label="", runs=(runs[0].records, runs[1].records[:1])).points
    assert [(point.mean, point.spread is None) for point in points] == [(0.6, False), (0.6, True)]


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
