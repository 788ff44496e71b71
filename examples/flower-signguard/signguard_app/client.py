"""The node: trains on its own images. The first few nodes attack, so that there is something to see."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from torch import Tensor

import fedward
from fedward.flower import hostile, name_mod

from .task import make_model, read, shard, train

torch.set_num_threads(1)


def attack(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """For the demonstration: a real app has no such mod."""
    how = fedward.parse(str(context.run_config["attack"]), "attack")
    return hostile.update_mod(how, _attacks)(message, context, call_next)


def _attacks(context: Context) -> bool:
    config = context.node_config
    if "partition-id" not in config:  # deployed: whoever starts the node says so
        return bool(config.get("attacks", False))
    return int(config["partition-id"]) < int(context.run_config["byzantine"])


app = ClientApp(mods=[name_mod(), attack])


def own_data(context: Context) -> tuple[Tensor, Tensor]:
    """A file of the node's own where it is deployed, a shard of the packaged images in simulation."""
    if "data-path" in context.node_config:
        return read(str(context.node_config["data-path"]))
    return shard(int(context.run_config["nodes"]), int(context.node_config["partition-id"]))


@app.train()
def train_on_own_images(message: Message, context: Context) -> Message:
    """An epoch, from the model that came."""
    config = context.run_config
    inputs, labels = own_data(context)
    model = make_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    seed = 1000 * int(message.content["config"]["server-round"]) + int(context.node_config.get("partition-id", 0))
    loss = train(model, inputs, labels, float(config["lr"]), int(config["batch-size"]), seed)
    metrics = MetricRecord({"num-examples": len(labels), "loss": loss})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)
