"""The client: the gradient of one batch, sent as a step of SGD. Byzantine ones may train on poisoned data."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

import fedward
from fedward.attacks import Batch

from .dataset import load_data
from .model import make_model

torch.set_num_threads(1)
app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """One step from the model that came."""
    config, partition = context.run_config, int(context.node_config["partition-id"])
    clients, seed = int(config["clients"]), int(config["seed"])
    data = load_data(str(config["data"]), str(config["data-path"]), clients, seed)
    number = int(message.content["config"]["server-round"])
    generator = torch.Generator().manual_seed((seed * 100_003 + number) * 1_009 + partition)
    shard = data.shards[partition]
    chosen = shard[torch.randperm(len(shard), generator=generator)[: int(config["batch-size"])]]
    train = data.dataset.train
    batch = Batch(inputs=train.inputs[chosen], labels=train.labels[chosen], classes=data.dataset.classes)
    if partition < int(config["byzantine"]):
        batch = fedward.parse(str(config["attack"]), "attack").poison(batch, fedward.Context(round=number, seed=seed))

    model = make_model(str(config["model"]), seed)
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    decay = float(config["weight-decay"])
    optimiser = torch.optim.SGD(model.parameters(), lr=float(config["lr"]), weight_decay=decay)
    loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels)
    loss.backward()
    optimiser.step()
    metrics = MetricRecord({"num-examples": len(chosen), "loss": float(loss.detach()), "partition-id": partition})
    arrays = ArrayRecord(model.state_dict())
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
