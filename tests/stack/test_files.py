"""Rows in files: the same results as in memory, and hardly any memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.stack import Files


def state(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 2, 3, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "half": torch.randn(5, 7, generator=generator).to(torch.bfloat16),
        "batches": torch.tensor(seed + 3),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(9):
        save_file(state(k), tmp_path / f"client-{k}.safetensors")
    return tmp_path


def paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize(
    "rule", [rules.Mean(), rules.Median(), rules.MultiKrum(f=2), rules.SignGuard(), rules.FedSECA()]
)
def test_results_are_those_of_state_dicts_in_memory(folder: Path, rule: fw.Rule, block: int | None) -> None:
    found = fw.Aggregator(rule)(Files(paths(folder), block=block))
    order = [*found.layout.names, *found.layout.counters]  # as the files have it
    states = [{name: state(k)[name] for name in order} for k in range(9)]
    expected = fw.Aggregator(rule)(states, ids=[f"client-{k}" for k in range(9)])
    torch.testing.assert_close(found.output, expected.output, rtol=1e-6, atol=1e-7)
    assert found.ids == expected.ids
    assert found.accepted.tolist() == expected.accepted.tolist()
    theirs = expected.state_dict()
    assert {k: (v.shape, v.dtype) for k, v in found.state_dict().items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.items()
    }
    assert int(found.state_dict()["batches"]) == int(theirs["batches"])


def test_clients_have_the_names_that_are_given(folder: Path) -> None:
    assert Files([str(path) for path in paths(folder)], ids=range(9)).ids == tuple(range(9))
    with pytest.raises(ValueError, match="9 rows need 9 ids, got 2"):
        Files(paths(folder), ids=["a", "b"])
    (folder / "more").mkdir()
    save_file(state(0), folder / "more" / "client-3.safetensors")
    with pytest.raises(ValueError, match="'client-3' occurs more than once"):
        Files([*paths(folder), folder / "more" / "client-3.safetensors"])


@pytest.mark.parametrize("bytes_left", [0, 5, 40, 300])
def test_a_truncated_file_is_named(folder: Path, bytes_left: int) -> None:
    damaged = folder / "client-4.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:bytes_left])
    with pytest.raises(ValueError, match=r"client-4\.safetensors is damaged .* leave this client out"):
        Files(paths(folder))


def test_files_that_do_not_go_together_are_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        Files([*paths(folder), folder / "absent.safetensors"])
    save_file({**state(1), "half": torch.zeros(5, 8)}, folder / "odd.safetensors")
    with pytest.raises(ValueError, match=r"client 'odd': half has shape \(5, 8\)"):
        Files(paths(folder))
    save_file({"conv.bias": torch.zeros(4)}, folder / "odd.safetensors")
    with pytest.raises(ValueError, match="client 'odd': state dict lacks"):
        Files(paths(folder))
    with pytest.raises(ValueError, match="got no files"):
        Files([])


_LEAN = """
import re, sys, torch
from pathlib import Path
from fedward import Aggregator, rules
from fedward.stack import Files
def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024
files = sorted(Path(sys.argv[1]).glob("*.safetensors"))
for rule in (rules.Mean(), rules.Median(), rules.Krum(f=2)):  # what is imported and compiled at first
    Aggregator(rule)(torch.randn(12, 300_000))
before = anonymous()
for rule in (rules.Mean(), rules.Median(), rules.Krum(f=2)):
    Aggregator(rule)(Files(files))
    print(anonymous() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_stack_is_not_taken_into_memory(tmp_path: Path) -> None:
    for k in range(12):
        save_file({"w": torch.full((10_000_000,), float(k))}, tmp_path / f"{k:02}.safetensors")
    run = subprocess.run([sys.executable, "-c", _LEAN, str(tmp_path)], capture_output=True, text=True, check=True)
    grown = [float(line) for line in re.findall(r"-?\d+\.\d+", run.stdout)]
    assert len(grown) == 3
    assert max(grown) < 256 + 0.05 * 480  # MB, of a stack of 480


def test_files_are_read_without_the_package_that_writes_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert Files(paths(folder)).n == 9
