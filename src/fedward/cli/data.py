"""What the commands about data sets do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from ..data import FederatedData, federate, load
from ..data.flwr_datasets import as_partition
from ..data.named import KNOWN
from ..data.sources import where
from ..disk import check_folder
from ..experiments.spec import SpecError
from ..failures import own_fault
from ..registry.entries import catalogue
from ..registry.notation import parse
from ..report import write_data
from . import display


def list_data(data_path: Path | None, as_json: bool) -> None:
    """What data sets there are, and where on this machine they are found, or where below a folder."""
    if data_path is not None and not data_path.is_dir():
        raise SpecError(f"--data-path {str(data_path)!r} is not a folder")
    rows = []
    for entry in catalogue("data set"):
        source = KNOWN.get(entry.name)
        row = {"name": entry.name, "summary": entry.summary, "found": where(source, data_path) if source else ""}
        rows.append({**row, "remedy": source.remedy() if source else ""})
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        absent = "not on this machine" if data_path is None else f"not in {data_path}"
        place = row["found"] or (absent if row["remedy"] else "where --data-path says")
        display.say(f"{row['name']}: {row['summary']}")
        display.say(f"    {place}")
    display.say("Of one that is not here, `fedward data show NAME` says which files go where.")


def show_data(
    name: str, data_path: str | None, partition: str, clients: int, seed: int, out: Path | None, as_json: bool
) -> None:
    """A data set, dealt to clients: as text or JSON, and as a page."""
    if out is not None:
        check_folder(out)
    try:
        dealer = as_partition(parse(partition, "partition", num_partitions=clients, partition_by="label"))
        dealt = federate(load(name, data_path), clients, dealer, seed)
    except ValueError as error:  # there is none of that name, or it cannot be dealt so
        raise SpecError(own_fault(error) or str(error)) from error
    page = None if out is None else write_data(dealt, out, f"{name}, {partition}")
    facts = {**_facts(dealt), "page": page and str(page)}
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    sizes = facts["client_samples"]
    held = facts["client_classes"]
    shape = " x ".join(map(str, facts["shape"]))
    display.say(
        f"{facts['name']}: {facts['train']:,} + {facts['test']:,} samples of {shape}, {facts['classes']} classes"
    )
    display.say(f"{partition}, {clients} clients: {_span(sizes)} samples each, {_span(held)} classes")
    if facts["published"] not in (None, [facts["train"], facts["test"]]):
        whole = " + ".join(f"{count:,}" for count in facts["published"])
        display.say(f"These files are not the whole of {facts['name']}, which has {whole} samples.")
    if page:
        display.say(f"Page: {page}")


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _facts(data: FederatedData) -> dict[str, Any]:
    labels = data.dataset.train.labels
    source = KNOWN.get(data.dataset.name)
    published = source.counts if source else None
    counts = [labels[shard].bincount(minlength=data.dataset.classes) for shard in data.shards]
    return {
        "name": data.dataset.name,
        "train": len(data.dataset.train),
        "test": len(data.dataset.test),
        "published": published and list(published),
        "shape": list(data.dataset.shape),
        "classes": data.dataset.classes,
        "vocabulary": data.dataset.vocabulary,
        "class_counts": labels.bincount(minlength=data.dataset.classes).tolist(),
        "client_samples": [len(shard) for shard in data.shards],
        "client_classes": [int((count > 0).sum()) for count in counts],
    }
