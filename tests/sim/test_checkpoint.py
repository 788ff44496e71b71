"""Checkpoints: whole or not at all, bitwise the same run afterwards, and never of another one."""

import importlib
import os
from dataclasses import asdict, replace
from itertools import islice
from pickle import PicklingError

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from fedward.sim import CheckpointError, Dataset, FederatedData, Split
from fedward.sim.checkpoint import load_checkpoint, save_checkpoint

ROUNDS = 6


def net(dropout=0.5):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))


def split(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 1, 4, 4, generator=generator)
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :3].argmax(1))


def data(n=6, train_seed=0, test_seed=1, name="tiny"):
    dataset = Dataset(name=name, train=split(n * 7, train_seed), test=split(20, test_seed), classes=3)
    return FederatedData(dataset=dataset, shards=tuple(torch.arange(7 * i, 7 * (i + 1)) for i in range(n)))


def relabelled(dataset):
    return replace(dataset, train=Split(inputs=dataset.train.inputs, labels=2 - dataset.train.labels))


SETTINGS = {
    "model": net,
    "data": data(),
    "rule": rules.SignGuardSim(warmup=2, fraction=0.5),
    "attack": attacks.ALIE(),
    "byzantine": 2,
    "clients": fw.clients.Gradient(batch_size=3),
    "server": fw.ServerSGD(lr=0.2, momentum=0.9, weight_decay=1e-3),
    "seed": 5,
}


def simulation(**changes):
    return fw.Simulation(**{**SETTINGS, **changes})


def timeless(records):
    return [{**asdict(record), "seconds": sorted(record.seconds)} for record in records]


def same(one, other):
    assert one.round == other.round
    assert torch.equal(one.progress.parameters, other.progress.parameters)
    assert (one.progress.velocity is None) == (other.progress.velocity is None)
    assert one.progress.velocity is None or torch.equal(one.progress.velocity, other.progress.velocity)
    assert one.progress.rule_state.keys() == other.progress.rule_state.keys()
    for key, value in one.progress.rule_state.items():
        assert torch.equal(value, other.progress.rule_state[key])
    assert timeless(one.records) == timeless(other.records)


@pytest.fixture(scope="module")
def uninterrupted():
    sim = simulation()
    assert [r.round for r in sim.run(ROUNDS, evaluate_every=2)] == [*range(1, ROUNDS + 1)]
    return sim


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    return folder / "run.pt"


# --- stopping and going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", range(1, ROUNDS + 1))
def test_a_run_closed_early_goes_on_as_if_it_had_not_been(path, stop, uninterrupted):
    first = simulation()
    run = first.run(ROUNDS, evaluate_every=2, checkpoint=path)
    records = list(islice(run, stop))
    run.close()
    assert first.round == len(records) == stop
    second = simulation()
    rest = list(second.run(ROUNDS, evaluate_every=2, checkpoint=str(path)))
    assert [r.round for r in rest] == [*range(stop + 1, ROUNDS + 1)]
    same(second, uninterrupted)


@pytest.mark.parametrize("at", [1, 3, 4, ROUNDS])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_interrupted_within_a_round_goes_on_as_if_it_had_not_been(path, at, error, uninterrupted, monkeypatch):
    first = simulation()
    messages, calls = first.backend.messages, []

    def interrupted(algorithm, tasks, out):
        calls.append(1)
        if len(calls) < at:
            return messages(algorithm, tasks, out)
        messages(algorithm, tasks[:2], out[:2])  # some clients are done
        raise error

    monkeypatch.setattr(first.backend, "messages", interrupted)
    with pytest.raises(error):
        list(first.run(ROUNDS, evaluate_every=2, checkpoint=path))
    assert first.round == at - 1
    monkeypatch.undo()
    second = simulation()
    list(second.run(ROUNDS, evaluate_every=2, checkpoint=path))
    same(second, uninterrupted)
    list(first.run(ROUNDS, evaluate_every=2))  # and in memory
    same(first, uninterrupted)


@pytest.mark.parametrize("phase", ["judge", "apply"])
def test_an_interrupt_in_the_middle_of_a_decision(path, phase, uninterrupted, monkeypatch):
    deciding = importlib.import_module("fedward.core.step")
    real, calls = getattr(deciding, phase), []

    def interrupted(*arguments, **named):
        done = real(*arguments, **named)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(deciding, phase, interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(simulation().run(ROUNDS, evaluate_every=2, checkpoint=path))
    monkeypatch.undo()
    resumed = simulation()
    list(resumed.run(ROUNDS, evaluate_every=2, checkpoint=path))
    same(resumed, uninterrupted)


def test_a_killed_run_goes_on_from_the_last_evaluation(path, uninterrupted, monkeypatch):
    """No `finally` runs in a killed process: what is on the disk is what the last evaluation wrote."""
    first = simulation()
    run = first.run(ROUNDS, evaluate_every=2, checkpoint=path)
    list(islice(run, 5))
    content = path.read_bytes()
    run.close()
    assert path.read_bytes() != content
    path.write_bytes(content)
    second = simulation()
    assert [r.round for r in second.run(ROUNDS, evaluate_every=2, checkpoint=path)] == [5, 6]
    same(second, uninterrupted)


def test_a_completed_run_is_not_run_again(path, uninterrupted):
    list(simulation().run(ROUNDS, evaluate_every=2, checkpoint=path))
    content = path.read_bytes()
    again = simulation()
    assert list(again.run(ROUNDS, evaluate_every=2, checkpoint=path)) == []
    assert list(again.run(ROUNDS - 2, evaluate_every=2, checkpoint=path)) == []
    assert path.read_bytes() == content
    same(again, uninterrupted)
    assert not [p for p in path.parent.iterdir() if p != path]


@pytest.mark.parametrize(
    "changes",
    [
        {"participation": 0.5, "rule": rules.SignGuard()},
        {"rule": rules.SignGuardDist(warmup=1), "attack": attacks.Noise()},
        {"rule": fw.mixers.ClipNorm(radius="median") >> rules.SignGuardSim(warmup=1)},
        {"model": lambda: net(0.0), "server": fw.ServerSGD(lr=0.1), "rule": rules.Median(), "byzantine": 0},
        {"server": fw.ServerSGD(lr=1e30), "rule": rules.Median()},
    ],
    ids=lambda change: "-".join(change),
)
def test_other_configurations_go_on_too(path, changes):
    whole = simulation(**changes)
    list(whole.run(ROUNDS, evaluate_every=4))
    run = simulation(**changes).run(ROUNDS, evaluate_every=4, checkpoint=path)
    list(islice(run, 3))
    run.close()
    resumed = simulation(**changes)
    list(resumed.run(ROUNDS, evaluate_every=4, checkpoint=path))
    assert repr(timeless(resumed.records)) == repr(timeless(whole.records))  # a NaN loss equals itself in print only
    assert torch.equal(resumed.progress.parameters.nan_to_num(7), whole.progress.parameters.nan_to_num(7))


# --- refusing -----------------------------------------------------------------------------------------------

OTHERS = {
    "rule": ({"rule": rules.SignGuardSim(warmup=3, fraction=0.5)}, {"rule"}),
    "attack": ({"attack": attacks.ALIE(z=0.4)}, {"attack"}),
    "no attack": ({"attack": None}, {"attack"}),
    "byzantine": ({"byzantine": [0, 2]}, {"byzantine"}),
    "clients": ({"clients": fw.clients.Gradient(batch_size=4)}, {"clients"}),
    "server": ({"server": fw.ServerSGD(lr=0.2)}, {"server"}),
    "participation": ({"participation": 0.9}, {"participation"}),
    "lost answers": ({"dropout": 0.2}, {"dropout"}),
    "late answers": ({"late": 0.2}, {"late"}),
    "running statistics": ({"batch_norm": "frozen"}, {"batch norm"}),
    "seed": ({"seed": 6}, {"seed", "initial parameters"}),
    "initial weights": ({"model": net()}, {"initial parameters"}),
    "shards": ({"data": replace(data(), shards=tuple(reversed(data().shards)))}, {"shards"}),
    "training data": ({"data": data(train_seed=3)}, {"data"}),
    "name of the data": ({"data": data(name="other")}, {"data"}),
    "test data": ({"data": data(test_seed=3)}, {"data"}),
    "labels": ({"data": replace(data(), dataset=relabelled(data().dataset))}, {"data"}),
    "dropout": ({"model": lambda: net(0.2)}, {"model"}),
    "activation": (
        {"model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3))},
        {"model"},
    ),
    "two at once": ({"attack": None, "participation": 0.9}, {"attack", "participation"}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_checkpoint_of_another_configuration_is_refused_and_left_alone(path, case):
    changes, keys = OTHERS[case]
    run = simulation().run(ROUNDS, checkpoint=path)
    next(run)
    run.close()
    content = path.read_bytes()
    other = simulation(**changes)
    with pytest.raises(CheckpointError, match="is of another configuration") as caught:
        next(other.run(ROUNDS, checkpoint=path))
    named = {part.partition(" was ")[0].rpartition(": ")[2] for part in str(caught.value).split("; ")}
    assert named == keys
    assert str(path) in str(caught.value)
    assert "another place" in str(caught.value)
    assert path.read_bytes() == content
    assert other.round == 0


DAMAGED = {
    "empty": lambda content: b"",
    "first half": lambda content: content[: len(content) // 2],
    "without the last byte": lambda content: content[:-1],
    "garbage": lambda content: b"not a checkpoint at all" * 50,
    "zeros": lambda content: bytes(len(content)),
    "one bit of the parameters": lambda content: flipped(content),
}


def flipped(content):
    """The content with one bit wrong in the largest tensor, which the archive's checksum must notice."""
    place = content.find(b"data/0") + 200
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_checkpoint_is_refused_and_left_alone(path, damage):
    list(simulation().run(2, checkpoint=path))
    content = DAMAGED[damage](path.read_bytes())
    path.write_bytes(content)
    sim = simulation()
    with pytest.raises(CheckpointError, match="move it away, or give this run another place") as caught:
        list(sim.run(ROUNDS, checkpoint=path))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert sim.round == 0


@pytest.mark.parametrize("content", [{}, {"0.weight": torch.ones(3)}, [1, 2], torch.ones(3)], ids=str)
def test_what_is_no_checkpoint_is_said_to_be_none(path, content):
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"is no checkpoint of a run, but something else .*; move it away"):
        load_checkpoint(path, {})


@pytest.mark.parametrize("content", [{"format": 3, "identity": {}}, {"format": None}], ids=str)
def test_another_format_is_refused(path, content):
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"has format .*, this version reads 2; move it away"):
        load_checkpoint(path, {})


@pytest.mark.parametrize("lost", ["identity", "round", "parameters", "velocity", "rule_state", "records"])
def test_a_checkpoint_that_lacks_something_is_refused(path, lost):
    list(simulation().run(2, checkpoint=path))
    saved = torch.load(path, weights_only=True)
    del saved[lost]
    torch.save(saved, path)
    content = path.read_bytes()
    with pytest.raises(CheckpointError):
        list(simulation().run(ROUNDS, checkpoint=path))
    assert path.read_bytes() == content


class Dangerous:
    def __reduce__(self):
        return (os.mkdir, ("must not be made",))


def test_a_checkpoint_is_never_executed(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    torch.save({"format": 2, "identity": Dangerous()}, path)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(path, {})
    assert os.listdir() == [path.name]


def test_what_a_checkpoint_of_before_has_no_word_of_was_as_it_is_by_default(path, uninterrupted):
    list(simulation().run(2, evaluate_every=2, checkpoint=path))
    saved = torch.load(path, weights_only=True)
    for key in ("forge", "batch norm", "precision", "shard sizes", "samples", "layout", "buffers"):
        del saved["identity"][key]
    torch.save(saved, path)
    resumed = simulation()
    list(resumed.run(ROUNDS, evaluate_every=2, checkpoint=path))
    same(resumed, uninterrupted)
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match="forge was 'rows', now 'both'"):
        list(simulation(forge="both").run(ROUNDS, checkpoint=path))


# --- writing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_kill_while_writing_leaves_the_old_checkpoint(path, call, monkeypatch, uninterrupted):
    run = simulation().run(ROUNDS, evaluate_every=2, checkpoint=path)
    list(islice(run, 2))
    content = path.read_bytes()

    def killed(*arguments):
        raise OSError("no more")

    monkeypatch.setattr(os, call, killed)
    with pytest.raises(OSError, match="no more"):
        list(run)
    monkeypatch.undo()
    assert path.read_bytes() == content
    resumed = simulation()
    assert [r.round for r in resumed.run(ROUNDS, evaluate_every=2, checkpoint=path)] == [3, 4, 5, 6]
    same(resumed, uninterrupted)


def test_saving_is_whole_or_not_at_all(path):
    save_checkpoint(path, {"a": 1}, {"round": 1})
    with pytest.raises((AttributeError, PicklingError), match="pickle"):
        save_checkpoint(path, {"a": 1}, {"round": lambda: 2})
    assert load_checkpoint(path, {"a": 1})["round"] == 1


def test_a_path_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        list(simulation().run(2, checkpoint=tmp_path / "file" / "run.pt"))
