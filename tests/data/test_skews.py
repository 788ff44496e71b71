"""What partitions promise: who holds what, that everything is dealt once, and that the seed decides."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward.data import Dataset, FeatureSkew, Lazy, Natural, QuantitySkew, Shards, Split, federate
from fedward.data.partition import IID, PARTITIONS
from fedward.experiments.spec import SpecError, make_spec

TOTAL = 600


def data(owners: int | None = 30, lazy: bool = False) -> Dataset:
    """Images of 4 classes whose brightness says nothing of the class, and who drew them."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(TOTAL, 1, 2, 2, generator=generator) * 0.1 + torch.rand(TOTAL, 1, 1, 1, generator=generator)
    whose = None if owners is None else torch.randint(0, owners, (TOTAL,), generator=generator) * 7
    if whose is not None and owners is not None:
        whose[:owners] = torch.arange(owners) * 7  # everybody drew one at least
    held: Any = Lazy(lambda i: inputs[i], TOTAL) if lazy else inputs
    split = Split(inputs=held, labels=torch.arange(TOTAL) % 4, owners=whose)
    return Dataset(name="drawn", train=split, test=split, classes=4)


EACH = {
    "natural": Natural(),
    "quantity-skew": QuantitySkew(),
    "quantity-skew:sigma=0": QuantitySkew(sigma=0),
    "shards": Shards(),
    "shards:per_client=3": Shards(per_client=3),
    "feature-skew": FeatureSkew(),
    "feature-skew:s=0.5": FeatureSkew(s=0.5),
}


@pytest.mark.parametrize("text", EACH)
@pytest.mark.parametrize("clients", [1, 2, 7, 30])
def test_all_is_dealt_once_and_the_seed_decides(text: str, clients: int) -> None:
    partition = fw.parse(text, "partition")
    assert partition == EACH[text]
    state = torch.random.get_rng_state()
    one, same, other = (federate(data(), clients, partition, seed) for seed in (0, 0, 1))
    assert torch.cat(one.shards).sort().values.tolist() == list(range(TOTAL))
    assert all(torch.equal(a, b) for a, b in zip(one.shards, same.shards, strict=True))
    if clients > 1:
        assert not all(torch.equal(a, b) for a, b in zip(one.shards, other.shards, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_partition_of_the_package_is_tried_somewhere() -> None:
    here = {text.partition(":")[0] for text in EACH}
    assert set(PARTITIONS) == here | {"iid", "dirichlet", "degree", "k-classes", "s-fraction"}


# --- natural ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clients", [30, 7])
def test_nobody_s_samples_are_torn_apart(clients: int) -> None:
    dealt = federate(data(), clients, Natural())
    owners = dealt.dataset.train.owners
    assert owners is not None
    held = [set(owners[shard].tolist()) for shard in dealt.shards]
    assert sum(len(own) for own in held) == len(set().union(*held)) == 30
    assert {len(own) for own in held} <= {30 // clients, 30 // clients + 1}


@pytest.mark.parametrize(
    ("owners", "clients", "pattern"),
    [
        (None, 4, r"needs to know whose samples are, as femnist"),
        (30, 31, r"belong to 30, who cannot be 31 clients: use at"),
    ],
)
def test_natural_needs_owners_and_enough_of_them(owners: int | None, clients: int, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        federate(data(owners), clients, Natural())


# --- quantity -----------------------------------------------------------------------------------------------


def test_sizes_are_log_normal() -> None:
    labels = torch.zeros(1_000_000, dtype=torch.int64)
    for sigma in (0.5, 1.0):
        parts = QuantitySkew(sigma=sigma).split(labels, 2_000, torch.Generator().manual_seed(0))
        logs = torch.tensor([len(part) for part in parts], dtype=torch.float64).log()
        spread = (logs - logs.mean()).quantile(torch.tensor([0.1587, 0.8413], dtype=torch.float64))
        assert spread.tolist() == pytest.approx([-sigma, sigma], rel=0.1)


def test_sizes_without_skew_are_even_and_nobody_is_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(103, dtype=torch.int64)
    assert sorted(len(part) for part in QuantitySkew(sigma=0).split(labels, 10, generator)) == [10] * 7 + [11] * 3
    assert min(len(part) for part in QuantitySkew(sigma=5).split(labels, 100, generator)) == 1


@pytest.mark.parametrize("sigma", [100, 30])
def test_the_largest_skew_leaves_every_client_a_sample(sigma: float) -> None:
    for seed in range(20):
        parts = QuantitySkew(sigma=sigma).split(data().train.labels, 10, torch.Generator().manual_seed(seed))
        assert sum(len(part) for part in parts) == TOTAL
        assert min(len(part) for part in parts) == 1


@pytest.mark.parametrize("sigma", [1000, float("inf"), 101])
def test_a_skew_that_floats_cannot_hold_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma is a number from 0 to 100"):
        QuantitySkew(sigma=sigma)
    with pytest.raises(SpecError, match="sigma is a number from 0 to 100"):
        make_spec({"rule": "mean", "partition": f"quantity-skew:sigma={sigma}"})


def test_quantity_skew_leaves_the_classes_alike() -> None:
    dealt = federate(data(), 3, QuantitySkew(sigma=0.3))
    for shard in dealt.shards:
        shares = dealt.dataset.train.labels[shard].bincount(minlength=4) / len(shard)
        assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.1)


# --- shards -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_client", [1, 2, 3])
def test_clients_have_runs_of_labels(per_client: int) -> None:
    dealt = federate(data(), 10, Shards(per_client=per_client))
    order = dealt.dataset.train.labels.sort(stable=True).indices
    place = torch.empty(TOTAL, dtype=torch.int64)
    place[order] = torch.arange(TOTAL)
    for shard in dealt.shards:
        assert len(shard) == TOTAL // 10
        places = place[shard].sort().values
        assert int((places.diff() > 1).sum()) <= per_client - 1  # as many runs as shards
        assert len(dealt.dataset.train.labels[shard].unique()) <= 2 * per_client


def test_shards_are_those_of_mcmahan() -> None:
    """Sorted by label, 2 shards for each client: what SignGuard's partition is without an even share."""
    labels = torch.arange(TOTAL) % 4
    parts = Shards().split(labels, 20, torch.Generator().manual_seed(5))
    assert {len(labels[part].unique()) for part in parts} <= {1, 2}


def test_more_shards_than_samples() -> None:
    with pytest.raises(ValueError, match=r"600 samples make no 900 shards: use at most 200 clients"):
        federate(data(), 300, Shards(per_client=3))


# --- features -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_clients_see_other_brightness_and_the_same_classes(lazy: bool) -> None:
    dealt = federate(data(lazy=lazy), 6, FeatureSkew())
    train = dealt.dataset.train
    feature = train.inputs[:].flatten(1).mean(1)
    for shard in dealt.shards:
        assert train.labels[shard].bincount(minlength=4).tolist() == [25] * 4
    within = torch.stack([feature[shard].var() for shard in dealt.shards]).mean()
    assert float(within / feature.var()) < 0.1
    even = federate(data(), 6, IID())
    assert float(torch.stack([feature[shard].var() for shard in even.shards]).mean() / feature.var()) > 0.8


def test_a_share_of_the_features_is_dealt_at_random() -> None:
    feature = data().train.inputs[:].flatten(1).mean(1)

    def spread(s: float) -> float:
        means = torch.stack([feature[shard].mean() for shard in federate(data(), 6, FeatureSkew(s=s)).shards])
        return float(means.var() / feature.var())

    assert spread(0) > spread(0.5) > spread(1)
    assert spread(1) < 0.1


def test_texts_are_skewed_by_their_length() -> None:
    lengths = torch.arange(40) % 8 + 1
    tokens = torch.where(torch.arange(8) < lengths[:, None], 5, 0)
    split = Split(inputs=tokens, labels=torch.arange(40) // 20)
    dealt = federate(Dataset(name="t", train=split, test=split, classes=2, vocabulary=6), 4, FeatureSkew())
    for shard in dealt.shards:
        assert int(lengths[shard].max() - lengths[shard].min()) <= 3


@pytest.mark.parametrize("partition", [Natural(), FeatureSkew()])
def test_labels_alone_do_not_say_enough(partition: Any) -> None:
    with pytest.raises(ValueError, match=r"samples"):
        partition.split(torch.arange(10) % 2, 2, torch.Generator())


def test_a_client_without_samples_is_refused() -> None:
    few = Split(inputs=torch.rand(4, 2), labels=torch.tensor([0, 0, 0, 1]))
    with pytest.raises(
        ValueError, match=r"FeatureSkew\(s=0\.0\) leaves client \d of 4 without data: use fewer clients"
    ):
        federate(Dataset(name="few", train=few, test=few, classes=2), 4, FeatureSkew())


# --- partitioners of flwr-datasets --------------------------------------------------------------------------


class Table:
    """What they are handed: a Hugging Face Dataset, as far as they use it."""

    def __init__(self, columns: dict[str, list[int]]) -> None:
        self.columns = columns

    from_dict = classmethod(lambda cls, columns: cls(columns))

    def __getitem__(self, name: str) -> list[int]:
        return self.columns[name]


class Partitioner:
    """One of theirs: every part holds the samples of some values of a column."""

    def __init__(self, num_partitions: int, partition_by: str) -> None:
        self.num_partitions = num_partitions
        self._partition_by = partition_by
        self.dataset: Any = None

    def load_partition(self, part: int) -> Table:
        values = self.dataset[self._partition_by]
        chosen = [i for i, value in enumerate(values) if value % self.num_partitions == part]
        if self._partition_by == "twice":
            chosen = [0, *chosen]
        if self._partition_by == "some":
            chosen = chosen[:3]
        return Table({name: [column[i] for i in chosen] for name, column in self.dataset.columns.items()})


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("datasets")
    module.Dataset = Table  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setitem(sys.modules, "their_partitioners", types.ModuleType("their_partitioners"))
    sys.modules["their_partitioners"].Partitioner = Partitioner  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize(("by", "column"), [("label", "labels"), ("fine_label", "labels"), ("writer_id", "owners")])
def test_their_partitioners_are_used_as_they_are(by: str, column: str) -> None:
    dealt = federate(data(), 4, Partitioner(4, by))
    values: Tensor = getattr(dealt.dataset.train, column)
    for client, shard in enumerate(dealt.shards):
        assert set((values[shard] % 4).tolist()) == {client}


@pytest.mark.usefixtures("_stand_in")
def test_their_partitioners_may_leave_samples_to_nobody() -> None:
    assert [len(shard) for shard in federate(data(), 4, Partitioner(4, "some")).shards] == [3] * 4


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda: federate(data(), 4, Partitioner(4, "twice")), r"must deal each of the samples 0 to 599 exactly once"),
        (lambda: federate(data(), 5, Partitioner(4, "label")), r"Partitioner makes 4 parts, and there are 5 clients"),
        (lambda: federate(data(None), 4, Partitioner(4, "writer_id")), r"deals by writer_id, and .* belong to nobody"),
        (lambda: federate(data(), 4, object()), r"object is no partition, which has a method split"),
        (lambda: federate(data(), 7, Partitioner(7, "label")), r"client 4 of 7 must get one or more samples"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], Any], pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        make()


@pytest.mark.usefixtures("_stand_in")
def test_their_partitioners_by_name_are_told_the_clients_and_labels() -> None:
    spec = make_spec({"clients": 4, "byzantine": 1, "partition": "their_partitioners:Partitioner"})
    assert spec.partition == "their_partitioners.Partitioner"
    dealt = federate(data(), 4, spec.make_partition())
    assert {len(shard) for shard in dealt.shards} == {TOTAL // 4}
    with pytest.raises(SpecError, match="mean is a rule, a partition is needed"):
        make_spec({"partition": "mean"})


def test_what_is_to_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr_datasets", None)
    with pytest.raises(SpecError, match="needs flwr_datasets: pip install flwr-datasets "):
        make_spec({"partition": "flwr_datasets.partitioner.IidPartitioner"})


def test_the_real_ones_where_they_are_installed() -> None:
    partitioners = pytest.importorskip("flwr_datasets.partitioner", reason="flwr-datasets is not installed")
    iid = federate(data(), 4, partitioners.IidPartitioner(num_partitions=4))
    assert [len(shard) for shard in iid.shards] == [150] * 4
    skewed = federate(data(), 4, partitioners.DirichletPartitioner(num_partitions=4, partition_by="label", alpha=0.3))
    assert len({len(shard) for shard in skewed.shards}) > 1
    shards = partitioners.ShardPartitioner(num_partitions=4, partition_by="label", num_shards_per_partition=1)
    assert all(len(data().train.labels[shard].unique()) == 1 for shard in federate(data(), 4, shards).shards)
    natural = federate(data(4), 4, partitioners.NaturalIdPartitioner(partition_by="writer_id"))
    owners = natural.dataset.train.owners
    assert owners is not None
    assert all(len(owners[shard].unique()) == 1 for shard in natural.shards)
