"""The server: federated averaging, with a rule in the place of the mean."""

import json
from pathlib import Path

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from fedward.flower import RobustFedAvg

from .task import accuracy, load_data, make_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train, test after every round, write down the accuracies."""
    config = context.run_config
    test = load_data(int(config["nodes"])).dataset.test

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        model = make_model()
        model.load_state_dict(arrays.to_torch_state_dict())
        return MetricRecord({"accuracy": accuracy(model, test.inputs, test.labels)})

    strategy = RobustFedAvg(rule=str(config["rule"]), audit=str(config["audit"]) or None, fraction_evaluate=0.0)
    result = strategy.start(
        grid,
        initial_arrays=ArrayRecord(make_model().state_dict()),
        num_rounds=int(config["rounds"]),
        evaluate_fn=evaluate,
    )
    if config["save"]:
        found = {number: metrics["accuracy"] for number, metrics in result.evaluate_metrics_serverapp.items()}
        Path(str(config["save"])).write_text(json.dumps(found), encoding="utf-8")
