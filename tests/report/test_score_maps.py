"""What rules put on record, as a map: clients in the order of the client map, rounds in place, nobody hidden."""

from __future__ import annotations

from fedward.report.runs import RunData
from fedward.report.scores import MAX_CELLS, score_map
from fedward.sim import Record


def run_of(values: list[list[float | None]], byzantine: tuple[int, ...] = (1,)) -> RunData:
    """A run whose rounds have these ratios; None for a round without any."""
    records = tuple(
        Record(round=k + 1, accepted=(True,) * len(ratios), scores={"ratio": tuple(ratios)} if any(ratios) else {})
        for k, ratios in enumerate(values)
    )
    return RunData(name="a", folder="a", config={}, versions={}, records=records, byzantine_ids=byzantine)


def test_a_map_has_a_row_a_client_the_byzantine_ones_last() -> None:
    run = run_of([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0], [0.2, None, 1.0]])
    figure = score_map(run, "ratio")
    (trace,) = figure["data"]
    assert trace["z"] == [[1.0, 1.0, 0.2], [0.5, 0.5, 1.0], [0.0, 0.0, 0.0]]  # an empty round keeps what was known
    assert [row[0] for row in trace["text"]] == ["client 0", "client 2", "client 1"]
    assert trace["x"] == [0.5, 1.5, 2.5, 3.5]
    assert figure["layout"]["yaxis"]["ticktext"] == ["0", "2", "1"]
    assert [note["text"] for note in figure["layout"]["annotations"]] == [
        "<b>honest</b><br>2 clients",
        "<b>byzantine</b><br>1 client",
    ]


def test_a_map_of_many_clients_leaves_rounds_out_and_says_where_it_ends() -> None:
    clients, rounds = 500, 200
    run = run_of([[float(r)] * clients for r in range(1, rounds + 1)])
    (trace,) = score_map(run, "ratio")["data"]
    columns = len(trace["z"][0])
    assert columns * clients <= MAX_CELLS
    assert len(trace["x"]) == columns + 1
    assert trace["x"][0] == 0.5
    assert trace["x"][-1] >= rounds + 0.5
    assert trace["z"][0][:2] == [1.0, 4.0]
