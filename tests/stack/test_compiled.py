"""Compiled loops against the same in torch: equal to the bit where sums have one order, whatever the blocks."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedward import rules
from fedward.stack import (
    Dense,
    Dots,
    Gram,
    Layers,
    MagnitudeCounts,
    Sample,
    SignConcordance,
    SignCounts,
    SqNorms,
    Updates,
    kernels,
    loops_from,
    magnitude_of_rank,
)
from tests.processes import started

pytest.importorskip("numba")

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture
def both() -> Callable[[Callable[[], object]], tuple[object, object]]:
    """What a function returns with compiled loops, and without."""

    def call(function: Callable[[], object]) -> tuple[object, object]:
        with loops_from(0):
            fast = function()
        with loops_from(None):
            return fast, function()

    return call


def normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.standard_normal((n, d)) * 10 ** rng.uniform(-2, 2, (n, 1))


def ties(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return rng.choice([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0], (n, d))


def extreme(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    sizes = rng.choice([1e30, 1e-3, 1e4, 1e-30, 1e-42, 5e-324, 1.0, 0.0], (n, d))
    return sizes * rng.choice([-1.0, 1.0], (n, d)) * rng.integers(1, 4, (n, d))


def cauchy(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    return np.clip(rng.standard_cauchy((n, d)), -1e4, 1e4)


MAKERS = [normal, ties, extreme, cauchy]


def stack(make: Callable[[np.random.Generator, int, int], np.ndarray], n: int, d: int, dtype: torch.dtype) -> Tensor:
    G = torch.from_numpy(make(np.random.default_rng(1000 * n + d), n, d))
    if dtype == torch.float16:
        G = G.clamp(-6e4, 6e4)
    return G.to(dtype)


def layouts(G: Tensor) -> Iterator[Updates]:
    """The same stack, in memory in other ways."""
    n, d = G.shape
    yield Dense(G)
    yield Dense(G.T.contiguous().T)
    wide = torch.full((2 * n, d + 7), torch.nan, dtype=G.dtype)
    wide[::2, 3 : d + 3] = G
    yield Dense(wide[::2, 3 : d + 3])
    yield Dense(G.repeat_interleave(2, 1)[:, ::2], block=13)
    cut = d // 3
    yield Layers([[row[:cut], row[cut:]] for row in G], block=50)


COLUMNS: dict[str, Callable[[Tensor], Tensor]] = {
    "median": kernels.median,
    "mean": lambda b: kernels.trimmed_mean(b, 0),
    "trimmed mean": lambda b: kernels.trimmed_mean(b, (len(b) - 1) // 3),
    "around median": lambda b: kernels.mean_around_median(b, (len(b) + 1) // 2),
    "around trimmed mean": lambda b: kernels.mean_around_trimmed_mean(b, (len(b) - 1) // 3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [*range(1, 71), 192, 193])
def test_kernels_over_columns(n: int, dtype: torch.dtype, both: Callable) -> None:
    widths = (1, 64, 131)
    for k, make in enumerate(MAKERS):
        d = widths[(n + k) % len(widths)]  # over all n every kind of rows has every width
        block = stack(make, n, d, dtype)
        before = block.clone()
        for name, kernel in COLUMNS.items():
            fast, slow = both(lambda kernel=kernel, block=block: kernel(block))
            assert torch.equal(fast, slow), (name, make, d)
        assert torch.equal(block, before)


@pytest.mark.parametrize("n", [1025, 1500])
def test_more_rows_than_a_network_is_for(n: int, both: Callable) -> None:
    fast, slow = both(lambda: kernels.median(stack(normal, n, 70, torch.float32)))
    assert torch.equal(fast, slow)


def test_a_tile_has_an_end(both: Callable) -> None:
    """More columns than are fetched at a time, and not a whole number of tiles."""
    for n, d in ((3, 30_001), (50, 4003), (200, 1001)):
        block = stack(normal, n, d, torch.float32)
        for kernel in COLUMNS.values():
            fast, slow = both(lambda kernel=kernel, block=block: kernel(block))
            assert torch.equal(fast, slow)


RULES = [
    rules.Median(),
    rules.TrimmedMean(f=2),
    rules.MeaMed(f=2),
    rules.Phocas(f=2),
    rules.FedSECA(),
    rules.FedSECA(momentum=0.5),
    rules.FedSECA(variant="official", sparsity=0.5),
    rules.FedSECA(sparsity=None, vote="mass", merge="mean"),
    rules.FedSECA(clip=False, clamp=False, vote="count", sparsity=0.0),
    rules.FedSECA(vote=None),
    rules.FedSECA(variant="official", vote="mass", clamp=False),
    rules.TIES(sparsity=0.7),
    rules.TIES(elect="mass"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rules_over_columns(rule: rules.Rule, dtype: torch.dtype, both: Callable) -> None:
    shapes = ((9, 64), (10, 256), (10, 601))
    for k, make in enumerate(MAKERS):
        G = stack(make, *shapes[k % len(shapes)], dtype)
        outputs = []
        for updates in layouts(G):
            outputs += both(lambda updates=updates: rule(updates))
        # Norms, and with them the factors by which rows are clipped, are rounded in float64.
        rtol = 1e-13 if dtype == torch.float64 else 0
        atol = rtol * float(outputs[0].abs().max())
        for output in outputs:
            torch.testing.assert_close(output, outputs[0], rtol=rtol, atol=atol, msg=f"{make} {tuple(G.shape)}")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("make", MAKERS)
def test_statistics(make: Callable, dtype: torch.dtype) -> None:
    sample = SignCounts(sample=Sample(seed=3, fraction=0.3))
    exact = (SignCounts(), sample, SignConcordance(), MagnitudeCounts())
    for n, d in ((1, 1), (2, 70), (7, 300), (13, 4500), (2, 20_000)):
        G = stack(make, n, d, dtype)
        wide = G.double()
        scale = wide.norm(dim=1)
        anchor = torch.randn(3, d, generator=torch.Generator().manual_seed(0))
        rounded = (SqNorms(), Gram(), Dots(rows=anchor), Dots(rows=anchor[0]))
        close = 1e-13 * scale[:, None] * torch.cat([scale, *anchor.double().norm(dim=1)[None]])
        # Rows of more columns than any loop takes at a time, and too many for blocks of a few.
        forms = layouts if d < 10_000 else lambda G: [Dense(G)]
        reference = None
        for entries in (0, None):
            with loops_from(entries):
                alone = Dense(G).compute(SqNorms())[0]
                stacks = list(forms(G))
                counted = [(updates.compute(*exact), magnitude_of_rank(updates, d // 2)) for updates in stacks]
                came_along = [updates.compute(SqNorms())[0] for updates in stacks]
                summed = [updates.compute(*rounded) for updates in forms(G)]
            for squares in came_along:
                torch.testing.assert_close(squares, scale.square(), rtol=1e-13, atol=0)
            for values, ranked in counted:
                whole = [*values, *ranked]
                reference = whole if reference is None else reference
                assert all(torch.equal(a, b) for a, b in zip(whole, reference, strict=True))
            for norms, gram, *products in summed:
                torch.testing.assert_close(norms, scale.square(), rtol=1e-13, atol=0)
                torch.testing.assert_close(alone, norms, rtol=1e-13, atol=0)
                assert bool(((gram - wide @ wide.T).abs() <= close[:, :n]).all())
                assert bool(((products[0] - wide @ anchor.double().T).abs() <= close[:, n:]).all())
                torch.testing.assert_close(products[1], products[0][:, :1], rtol=1e-9, atol=0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_not_finite_stays_alone(bad: float, both: Callable) -> None:
    G = stack(normal, 9, 700, torch.float32)
    G[4, 333] = bad
    for values in both(lambda: Dense(G).compute(SqNorms(), Gram())):
        assert values[0].isfinite().tolist() == [i != 4 for i in range(9)]
        assert values[1].isfinite().sum() == 64
    for norms in both(lambda: Dense(G).norms()):
        assert norms.isfinite().tolist() == [i != 4 for i in range(9)]
    for rule in (rules.Median(), rules.FedSECA(), rules.MultiKrum(f=2), rules.SignGuard()):
        fast, slow = both(lambda rule=rule: rule(G))
        torch.testing.assert_close(fast, slow, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weighted_sums(dtype: torch.dtype, both: Callable) -> None:
    for n in (1, 2, 3, 4, 5, 8, 11):
        G = stack(normal, n, 2100, dtype)
        for kept in range(1, n + 1):
            weights = torch.rand(n, generator=torch.Generator().manual_seed(kept), dtype=torch.float64) - 0.5
            weights[torch.randperm(n, generator=torch.Generator().manual_seed(kept))[kept:]] = 0
            hostile = G.clone()
            hostile[weights == 0] = torch.nan
            for updates in layouts(hostile):
                read = updates.columns_read
                fast, slow = both(lambda updates=updates, weights=weights: updates.combine(weights))
                assert updates.columns_read - read == pytest.approx(2 * updates.d * kept / n)
                exact = (weights[weights != 0] @ G[weights != 0].double()).to(dtype)
                for output in (fast, slow):
                    torch.testing.assert_close(output, exact, rtol=2e-3 if dtype.itemsize == 2 else 1e-6, atol=1e-12)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    G = stack(normal, 11, 9000, torch.float32)
    asked = (SqNorms(), MagnitudeCounts(), SignConcordance(), Gram())
    before = torch.get_num_threads()
    results = []
    try:
        for many in (1, threads):
            torch.set_num_threads(many)
            with loops_from(0):
                outputs = [rule(Dense(G, block=100)) for rule in (*RULES, rules.MultiKrum(f=2), rules.Mean())]
                results.append([*outputs, *Dense(G, block=100).compute(*asked)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def in_a_child(G: Tensor, results: object) -> None:
    results.put(rules.Median()(G).sum().item())


def test_a_child_that_was_forked_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    G = stack(normal, 5, 3000, torch.float32)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=in_a_child, args=(G, results))
    with loops_from(0):
        expected = rules.Median()(G).sum().item()
        child.start()
    child.join(60)
    assert child.exitcode == 0
    assert results.get() == expected


WITHOUT = """
import sys
import torch
from fedward import rules
from fedward.stack import kernels, loops_from
rules.Median()(torch.ones(9, 99))
print("numba" in sys.modules)
sys.modules["numba"] = None
G = torch.randn(7, 100, generator=torch.Generator().manual_seed(0))
with loops_from(0):
    assert not kernels.mean_of_ranks.takes(G)
    print(rules.Median()(G).double().sum().item().hex())
"""


def test_small_stacks_do_not_import_numba_and_all_goes_without() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    G = torch.randn(7, 100, generator=torch.Generator().manual_seed(0))
    assert run.stdout.split() == ["False", rules.Median()(G).double().sum().item().hex()]


def test_a_loop_is_compiled_by_one_process_and_read_by_the_others(tmp_path: Path) -> None:
    code = (
        "import torch; from fedward import rules; from fedward.stack import loops_from; import numpy as np;"
        "from fedward.stack.loops import compiled, rows\n"
        "with loops_from(0): rules.ClipMean()(torch.ones(9, 99))\n"
        "print(sum(compiled.compile_loop(rows.sq_norms, np.dtype('float32')).stats.cache_misses.values()))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    options = {"stdout": subprocess.PIPE, "text": True, "env": environment}
    with started(command, **options) as first, started(command, **options) as second:
        assert sorted(run.communicate()[0].strip() for run in (first, second)) == ["0", "1"]
