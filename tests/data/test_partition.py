import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedward.data.partition import IID, PARTITIONS, Degree, Dirichlet, KClasses, Partition, SFraction
from fedward.registry.notation import parse


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split(partition: Partition, labels: Tensor, clients: int, seed: int = 0) -> list[list[int]]:
    return [part.tolist() for part in partition.split(labels, clients, seeded(seed))]


def balanced(classes: int, each: int) -> Tensor:
    """Interleaved labels 0, 1, ..., classes - 1, 0, 1, ..."""
    return torch.arange(classes).repeat(each)


@st.composite
def problems(draw: st.DrawFn, most: int = 3) -> tuple[Tensor, int]:
    """Labels, and a number of clients of whom each can have at least `most` samples."""
    labels = draw(st.lists(st.integers(0, 4), min_size=most, max_size=120))
    return torch.tensor(labels), draw(st.integers(1, len(labels) // most))


def assert_exact_cover(parts: tuple[Tensor, ...], total: int, clients: int) -> None:
    assert len(parts) == clients
    assert all(part.dtype == torch.int64 and part.ndim == 1 and len(part) > 0 for part in parts)
    assert sorted(torch.cat(parts).tolist()) == list(range(total))


@settings(max_examples=60)
@given(problem=problems(most=1), seed=st.integers(0, 2**32))
def test_iid_covers_and_sizes(problem: tuple[Tensor, int], seed: int) -> None:
    labels, clients = problem
    parts = IID().split(labels, clients, seeded(seed))
    assert_exact_cover(parts, len(labels), clients)
    small, larger = divmod(len(labels), clients)
    assert [len(part) for part in parts] == [small + 1] * larger + [small] * (clients - larger)


@settings(max_examples=100)
@given(problem=problems(), s=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_s_fraction_covers_and_sizes(problem: tuple[Tensor, int], s: float, seed: int) -> None:
    labels, clients = problem
    parts = SFraction(s=s).split(labels, clients, seeded(seed))
    assert_exact_cover(parts, len(labels), clients)
    sizes = [len(part) for part in parts]
    # One from the samples dealt evenly, one from each of two shards.
    assert max(sizes) - min(sizes) <= 3


@settings(max_examples=40)
@given(problem=problems(most=1), seed=st.integers(0, 2**32))
def test_s_fraction_of_one_is_iid(problem: tuple[Tensor, int], seed: int) -> None:
    labels, clients = problem
    assert split(SFraction(s=1), labels, clients, seed) == split(IID(), labels, clients, seed)


@settings(max_examples=60)
@given(total=st.integers(1, 40), clients=st.integers(1, 40), s=st.floats(0, 1))
def test_s_fraction_gives_everybody_data_or_refuses(total: int, clients: int, s: float) -> None:
    labels = torch.arange(total) % 3
    try:
        parts = SFraction(s=s).split(labels, clients, seeded())
    except ValueError:
        assert total < 3 * clients
    else:
        assert_exact_cover(parts, total, clients)


@pytest.mark.parametrize("s", [0.0, 0.3, 0.5, 0.8])
def test_s_fraction_against_the_definition(s: float) -> None:
    """10 classes of 60, 5 clients: the part that is not IID comes in two runs of the sorted samples."""
    labels = balanced(10, 60)
    total, clients = len(labels), 5
    even = int(Fraction(str(s)) * total)
    parts = split(SFraction(s=s), labels, clients)
    dealt = [part[: even // clients] for part in parts]
    shards = [part[even // clients :] for part in parts]
    used = {sample for part in dealt for sample in part}
    rest = sorted(set(range(total)) - used, key=lambda sample: (int(labels[sample]), sample))
    width = (total - even) // (2 * clients)
    expected = [rest[i * width : (i + 1) * width] for i in range(2 * clients)]
    found = [half for shard in shards for half in (shard[:width], shard[width:])]
    assert sorted(found) == sorted(expected)
    assert len(used) == even


def test_s_fraction_zero_gives_two_labels_per_client() -> None:
    """2n shards of exactly one class each."""
    labels = balanced(10, 20)
    parts = split(SFraction(s=0), labels, 5)
    held = [{int(labels[sample]) for sample in part} for part in parts]
    assert [len(classes) for classes in held] == [2] * 5
    assert set.union(*held) == set(range(10))


def test_shards_are_drawn_at_random() -> None:
    labels = balanced(10, 20)
    pairs = {frozenset(labels[split(SFraction(s=0), labels, 5, seed)[0]].tolist()) for seed in range(20)}
    assert len(pairs) > 10  # of 45 pairs of labels that client 0 can get


def test_skew_grows_as_s_falls() -> None:
    labels = balanced(10, 100)

    def skew(partition: Partition) -> float:
        """Mean over clients of the share of the commonest label."""
        parts = partition.split(labels, 20, seeded())
        return sum(float(labels[part].bincount().max() / len(part)) for part in parts) / 20

    values = [skew(SFraction(s=s)) for s in (1.0, 0.8, 0.5, 0.3, 0.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(skew(IID()))
    assert values[-1] >= 0.5 > 0.25 > values[0]


@pytest.mark.parametrize("partition", [IID(), SFraction(s=0.29), Dirichlet(alpha=5.0), KClasses(k=4)])
def test_random_but_only_through_the_generator(partition: Partition) -> None:
    labels = balanced(10, 10)
    state = torch.random.get_rng_state()
    first = split(partition, labels, 7, seed=1)
    assert first == split(partition, labels, 7, seed=1)
    assert first != split(partition, labels, 7, seed=2)
    assert [sorted(part) for part in first] != [sorted(part) for part in split(partition, labels, 7, seed=2)]
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_share_is_not_lost_to_rounding() -> None:
    """0.29 * 100 is 28.999999999999996 in floating point; 29 samples are to be dealt."""
    assert math.floor(0.29 * 100) == 28
    labels = torch.arange(100)
    (part,) = SFraction(s=0.29).split(labels, 1, seeded())
    # With one client all of the rest comes as two shards of the sorted samples: 71 = 36 + 35.
    tail = part[29:]
    assert sorted(tail[:36].tolist()) == tail[:36].tolist()
    assert set(part[:29].tolist()) == set(torch.randperm(100, generator=seeded())[:29].tolist())


def test_parts_do_not_share_storage() -> None:
    parts = IID().split(torch.zeros(100, dtype=torch.int64), 10, seeded())
    assert all(part.untyped_storage().nbytes() == 10 * 8 for part in parts)


@pytest.mark.parametrize("s", [-0.1, 1.0001, math.nan, math.inf])
def test_s_is_checked(s: float) -> None:
    with pytest.raises(ValueError, match="s is a number from 0 to 1, got"):
        SFraction(s=s)


@pytest.mark.parametrize("partition", [IID(), SFraction(s=0.5)])
def test_arguments_are_checked(partition: Partition) -> None:
    labels = balanced(2, 5)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        partition.split(labels, 0, seeded())
    with pytest.raises(ValueError, match="11 clients cannot share 10 samples: use at most 10"):
        partition.split(labels, 11, seeded())
    with pytest.raises(ValueError, match=r"1-D tensor of integers, got shape \(5, 2\)"):
        partition.split(labels.reshape(5, 2), 2, seeded())
    with pytest.raises(ValueError, match=r"torch\.float32"):
        partition.split(labels.float(), 2, seeded())


def test_too_few_samples_for_the_shards() -> None:
    with pytest.raises(ValueError, match=r"into 10 shards.* use at most 3 clients"):
        SFraction(s=0).split(balanced(3, 3), 5, seeded())


def test_values_and_names() -> None:
    assert parse("s-fraction:s=0.5", "partition") == SFraction(s=0.5)
    assert parse("k-classes:k=2", "partition") == KClasses(k=2)
    assert parse("dirichlet:alpha=0.3", "partition") == Dirichlet(alpha=0.3)
    assert repr(SFraction(s=0.5)) == "SFraction(s=0.5)"
    assert PARTITIONS["iid"]() == IID()
    assert PARTITIONS["s-fraction"](s=0.3) == SFraction(s=0.3)
    with pytest.raises(TypeError):
        SFraction(0.5)  # type: ignore[misc]


# --- SIREN's, FedSECA's and DeSGD's -----------------------------------------------------------------------------

LABELS = balanced(10, 60)


@pytest.mark.parametrize("clients", [10, 13, 40])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_degree_sends_labels_to_their_group(clients: int, p: float) -> None:
    parts = Degree(p=p).split(LABELS, clients, seeded())
    assert sorted(torch.cat(parts).tolist()) == list(range(600))
    groups = torch.arange(clients).tensor_split(10)
    own = 0
    for label, group in enumerate(groups):
        held = torch.cat([parts[i] for i in group.tolist()])
        own += int((LABELS[held] == label).sum())
        sizes = [len(parts[i]) for i in group.tolist()]
        assert max(sizes) - min(sizes) <= 1
    assert own / 600 == pytest.approx(p, abs=0.06)
    assert p not in (0.0, 1.0) or own == 600 * p


def test_degree_moves_to_all_other_groups_alike() -> None:
    parts = Degree(p=0.0).split(balanced(10, 900), 10, seeded())
    for i, part in enumerate(parts):
        counts = balanced(10, 900)[part].bincount(minlength=10)
        assert counts[i] == 0
        assert all(60 < int(c) < 140 for label, c in enumerate(counts) if label != i)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_dirichlet_covers_and_skews(alpha: float, seed: int) -> None:
    labels = balanced(10, 200)
    parts = Dirichlet(alpha=alpha).split(labels, 5, seeded(seed))
    assert sorted(torch.cat(parts).tolist()) == list(range(2000))
    assert min(len(part) for part in parts) > 0
    shares = torch.stack([labels[part].bincount(minlength=10) / 200 for part in parts])
    spread = float(shares.std(0).mean())
    assert {0.1: spread > 0.25, 1.0: 0.08 < spread < 0.3, 100.0: spread < 0.05}[alpha]


@pytest.mark.parametrize(("clients", "k", "holders"), [(20, 3, 6), (10, 10, 10), (10, 1, 1), (30, 2, 6)])
def test_k_classes_are_balanced(clients: int, k: int, holders: int) -> None:
    parts = KClasses(k=k).split(LABELS, clients, seeded())
    assert sorted(torch.cat(parts).tolist()) == list(range(600))
    held = [{int(c) for c in LABELS[part]} for part in parts]
    assert {len(h) for h in held} == {k}
    assert all(sum(c in h for h in held) == holders for c in range(10))
    for c in range(10):
        sizes = {int((LABELS[part] == c).sum()) for part, h in zip(parts, held, strict=True) if c in h}
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Degree(p=1.1), "p is a number from 0 to 1, got 1.1"),
        (lambda: Degree(p=0.5).split(LABELS, 9, seeded()), "a client for each of the 10 classes, got 9"),
        (lambda: Degree(p=1.0).split(torch.tensor([0, 2] * 6), 3, seeded()), "without data: use fewer clients"),
        (lambda: Dirichlet(alpha=0), "alpha is a number above 0 and below inf, got 0"),
        (lambda: Dirichlet(alpha=0.001).split(LABELS, 300, seeded()), "without data in 100 draws"),
        (lambda: KClasses(k=0), "at least 1, got 0"),
        (lambda: KClasses(k=11).split(LABELS, 20, seeded()), "k must lie between 1 and 10"),
        (lambda: KClasses(k=2).split(LABELS, 4, seeded()), "k must lie between 3 and 10"),
    ],
)
def test_their_errors(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
