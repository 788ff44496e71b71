"""Data that somebody looks at in a terminal is a line."""

import re
from pathlib import Path

import torch

from fedward.data import Dataset, FederatedData, Split
from fedward.report import write_data
from fedward.report.pieces import NONE


def test_data_are_shown_without_their_numbers() -> None:
    split = Split(inputs=torch.zeros(5000, 2, 3), labels=torch.zeros(5000, dtype=torch.int64))
    dataset = Dataset(name="mine", train=split, test=split, classes=1)
    dealt = FederatedData(dataset=dataset, shards=(torch.arange(1000), torch.arange(4000)))
    assert repr(split) == "Split(5,000 samples of (2, 3))"
    assert repr(dealt) == "FederatedData(mine: 2 clients, 1,000 to 4,000 samples each)"
    assert repr(FederatedData(dataset=dataset, shards=())) == "FederatedData(mine: 0 clients)"
    assert len(repr(dataset)) < 150


def test_a_client_without_samples_is_on_the_page(tmp_path: Path) -> None:
    split = Split(inputs=torch.zeros(6, 2, 3), labels=torch.tensor([0, 0, 1, 1, 1, 1]))
    dataset = Dataset(name="mine", train=split, test=split, classes=2)
    shards = (torch.arange(6), torch.arange(0))
    page = write_data(FederatedData(dataset=dataset, shards=shards), tmp_path / "page.html", "Mine").read_text("utf-8")
    rows = re.findall(r"<tr><td>([01])</td>(.*?)</tr>", page)
    cells = {name: re.findall(r'<td class="number">(.*?)</td>', rest) for name, rest in rows[:2]}
    assert cells["0"] == ["6", "2", "1", "66.7%"]
    assert cells["1"] == ["0", "0", NONE, NONE]
