"""A small federation, and a simulation whose rounds can be watched."""

from dataclasses import asdict

import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.sim import Dataset, FederatedData, Split

N, CLASSES = 8, 4


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))


def dropping():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, CLASSES))


def convolution():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES))


def split(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 1, 4, 4, generator=generator)
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))


def data(n=N, samples=10):
    shards = torch.randperm(n * samples, generator=torch.Generator().manual_seed(2)).split(samples)
    return FederatedData(
        dataset=Dataset(name="tiny", train=split(n * samples, 0), test=split(50, 1), classes=CLASSES), shards=shards
    )


DATA = data()


def simulation(**changes):
    settings = {
        "model": linear,
        "data": DATA,
        "rule": rules.Mean(),
        "clients": fw.clients.Gradient(batch_size=5),
        "seed": 3,
    }
    return fw.Simulation(**{**settings, **changes})


class Job:
    """What a client's one batch was made of."""

    def __init__(self, algorithm, task):
        self.inputs, self.labels = task.shard.take(next(task.batches(algorithm.batch_size, 1)))
        self.seed = task.context.draw_seed(f"model of client {task.client}")


def spied(sim):
    """The rows that the rule gets in each round, beside those that the clients computed."""
    seen = []
    messages, run = sim.backend.messages, sim.run

    def computing(algorithm, tasks, out):
        answers = messages(algorithm, tasks, out)
        jobs = {task.client: Job(algorithm, task) for task in tasks}
        own = {task.client: answer.row.clone() for task, answer in zip(tasks, answers, strict=True)}
        seen.append({"jobs": jobs, "parameters": tasks[0].parameters.clone(), "own": own})
        return answers

    def running(*arguments, **options):
        for record in run(*arguments, **options):
            seen[-1]["sent"] = sim.rows.clone()
            yield record

    sim.backend.messages, sim.run = computing, running
    return seen


def timeless(records):
    return [{**asdict(record), "seconds": None} for record in records]
