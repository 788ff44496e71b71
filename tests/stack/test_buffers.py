"""Running statistics and counters: no rule sees them, and what becomes of them is not one client's say."""

from __future__ import annotations

import pickle
import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

import fedward as fw
from fedward import rules
from fedward.stack import Files, Layout, as_updates

RULES = [
    rules.Mean(),
    rules.Median(),
    rules.MultiKrum(f=2),
    rules.SignGuard(),
    rules.DnC(f=2),
    rules.FLAME(noise=0.0),
    rules.LASA(),
]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False))


def states(n: int = 9, scale: float = 1.0) -> list[dict[str, Tensor]]:
    """Updates of a network whose running statistics are nearly all of their norm; two are sign-flipped."""
    generator = torch.Generator().manual_seed(3)
    model = {k: torch.randn(v.shape, generator=generator) for k, v in network().state_dict().items()}
    found = []
    for i in range(n):
        sent = {k: v + 0.3 * torch.randn(v.shape, generator=generator) for k, v in model.items()}
        sent = {k: (-v if i < 2 else v) for k, v in sent.items()}
        sent["1.running_mean"] = scale * torch.randn(4, generator=generator)
        sent["1.running_var"] = scale * torch.rand(4, generator=generator)
        sent["1.num_batches_tracked"] = torch.tensor(10 + i)
        found.append(sent)
    return found


def files(folder: Path, sent: list[dict[str, Tensor]]) -> list[Path]:
    paths = [folder / f"{i}.safetensors" for i in range(len(sent))]
    for path, one in zip(paths, sent, strict=True):
        save_file(one, path)
    return paths


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("source", ["memory", "files"])
def test_running_statistics_do_not_vote(rule: fw.Rule, source: str, tmp_path: Path) -> None:
    votes = []
    for scale in (0.0, 1.0, 1e6):
        sent = states(scale=scale)
        folder = tmp_path / str(scale)
        folder.mkdir()
        made = sent if source == "memory" else Files(files(folder, sent))
        votes.append(fw.Aggregator(rule)(made))
    assert votes[0].output.shape == (24 + 4 + 4 + 4 + 12,)
    for other in votes[1:]:
        assert torch.equal(other.output, votes[0].output)
        assert other.reasons == votes[0].reasons
    if rule in (rules.MultiKrum(f=2), rules.DnC(f=2), rules.FLAME(noise=0.0)):
        assert votes[2].accepted[:2].tolist() == [False, False]


def test_they_are_the_mean_over_the_accepted() -> None:
    sent = states()
    result = fw.Aggregator(rules.DnC(f=2), batch_norm="mean")(sent).state_dict()
    network().load_state_dict(result, strict=True)
    assert [*result] == [*sent[0]]
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(result[name], torch.stack([s[name] for s in sent[2:]]).mean(0))
    assert int(result["1.num_batches_tracked"]) == 15


@settings(max_examples=40)
@given(
    st.floats(width=32),
    st.sampled_from([torch.float16, torch.float32, torch.float64]),
    st.sampled_from(["1.running_mean", "1.running_var"]),
)
def test_whatever_one_client_says_of_them(value: float, dtype: torch.dtype, name: str) -> None:
    sent = states()
    plain = fw.Aggregator(rules.Mean())(as_updates(sent, batch_norm=None))
    sent[4][name] = torch.full((4,), value, dtype=torch.float64).to(dtype)
    result = fw.Aggregator(rules.Mean())(as_updates(sent, batch_norm=None))
    assert torch.equal(result.output, plain.output)
    assert result.reasons == plain.reasons
    found = result.state_dict()[name]
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    if name.endswith("var"):
        assert bool((found >= 0).all())
        share = torch.stack([s[name] for i, s in enumerate(sent) if i != 4]).sum(0) / 9
        assert bool((found >= share * (1 - 1e-6)).all())  # a negative one takes nothing from the others'


def test_when_nobody_says_anything_finite() -> None:
    sent = [{**s, "1.running_var": torch.full((4,), torch.nan)} for s in states()]
    result = fw.Aggregator(rules.Mean())(as_updates(sent, batch_norm=None))
    assert bool(result.output.isfinite().all())
    with pytest.raises(ValueError, match=r"no accepted client sent finite values of 1.running_var: keep what"):
        result.state_dict()
    like = network().state_dict()
    found = fw.Aggregator(rules.Mean())(as_updates(sent, like=like, batch_norm=None)).state_dict()
    assert torch.equal(found["1.running_var"], like["1.running_var"])


def test_whoever_is_not_accepted_has_no_say_even_if_nobody_else_says_anything_finite() -> None:
    sent = [{**s, "1.running_var": torch.full((4,), torch.nan)} for s in states()]
    sent[0] = {name: 100 + value for name, value in states()[0].items()}
    like = network().state_dict()
    result = fw.Aggregator(rules.MultiKrum(f=2))(as_updates(sent, like=like, batch_norm=None))
    assert not result.accepted[0]
    assert torch.equal(result.state_dict()["1.running_var"], like["1.running_var"])
    with pytest.raises(ValueError, match=r"no accepted client sent finite values of 1.running_var"):
        fw.Aggregator(rules.MultiKrum(f=2))(as_updates(sent, batch_norm=None)).state_dict()


def test_which_they_are() -> None:
    model = network()
    model.register_buffer("ema", torch.ones(5))
    model.register_buffer("steps", torch.ones(2, dtype=torch.int64))
    named = model.state_dict()
    by_module = Layout.of(named, buffers=model)
    assert by_module.buffers == ("ema", "1.running_mean", "1.running_var")
    assert by_module.counters == ("steps", "1.num_batches_tracked")
    assert Layout.of(named, buffers=["ema", "steps"]) == by_module
    assert Layout.of(named, integers="counters").buffers == ("1.running_mean", "1.running_var")
    assert Layout.of(named, buffers=None, integers="counters").buffers == ()
    with pytest.raises(TypeError, match=r"steps is torch.int64 of shape \(2,\): integers are no updates; dequantise"):
        Layout.of(named)
    with pytest.raises(ValueError, match=r"buffers names 'emma', which is none of the tensors: ema, steps, 0\.weight"):
        Layout.of(named, buffers=["emma"])
    for wrong in ("ema", "none"):
        with pytest.raises(ValueError, match=f"buffers is 'auto', a list of names, a module or None, got '{wrong}'"):
            Layout.of(named, buffers=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="integers is 'refuse' or 'counters', got 'yes'"):
        Layout.of(named, integers="yes")  # type: ignore[arg-type]
    for more, d in (({"buffers": model}, 48), ({"buffers": ["ema", "steps"]}, 48), ({"integers": "counters"}, 53)):
        assert fw.Aggregator(rules.Mean())([named] * 3, **more).output.shape == (d,)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64, torch.bool])
def test_whole_numbers_are_no_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    sent = [{"w": torch.full((2, 3), i).to(dtype), "b": torch.ones(3)} for i in range(5)]
    for on_bad in ("raise", "drop"):
        with pytest.raises(TypeError, match=r"w is .* of shape \(2, 3\): integers are no updates; dequantise it first"):
            fw.Aggregator(rules.Mean())(sent, on_bad=on_bad)
        with pytest.raises(TypeError, match="integers are no updates"):
            Files(files(tmp_path, sent), on_bad=on_bad)  # type: ignore[arg-type]
    for made, more in ((sent, {"integers": "counters"}), (Files(files(tmp_path, sent), integers="counters"), {})):
        found: Any = fw.Aggregator(rules.Mean())(made, **more).state_dict()["w"]
        assert found.dtype == dtype
        assert found.unique().tolist() == [2 if dtype != torch.bool else 1]


def test_calls_from_several_threads_are_rounds_one_after_the_other() -> None:
    """Every call counts, and each decides on the memory that the one before it left."""
    G = torch.randn(8, 500, generator=torch.Generator().manual_seed(0))
    aggregate, alone = (fw.Aggregator(rules.SignGuardSim(warmup=2), seed=1) for _ in range(2))
    found: list[Tensor] = []

    def work() -> None:
        for _ in range(6):
            result = aggregate(G)
            found.append(result.scores["positive"])
            aggregate.state_dict()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert aggregate.round == 30
    expected = [alone(G).scores["positive"] for _ in range(30)]  # columns are drawn anew in every round
    assert sorted(map(tuple, torch.stack(found).tolist())) == sorted(map(tuple, torch.stack(expected).tolist()))


def test_an_aggregator_can_be_copied_and_sent() -> None:
    aggregate = fw.Aggregator(rules.SignGuardSim(warmup=1), seed=2)
    G = torch.randn(8, 60, generator=torch.Generator().manual_seed(0))
    aggregate(G)
    copies = [deepcopy(aggregate), pickle.loads(pickle.dumps(aggregate))]
    expected = aggregate(G)
    for copy in copies:
        assert torch.equal(copy(G).output, expected.output)
        assert copy.round == 2
