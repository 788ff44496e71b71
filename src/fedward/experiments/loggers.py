"""What a run is followed with elsewhere: TensorBoard and Weights & Biases, each an ``on_record`` of `execute`.

with TensorBoard(folder / "tensorboard") as log:
    execute(spec, folder, on_record=log)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from ..failures import MendableError, install
from ..sim import Record

LOGGERS = ("tensorboard", "wandb")
"""What ``fedward run --log`` takes."""


class LoggerError(MendableError, ImportError):
    """A logger that is not installed, or that there is none of; the message says what to do."""


class Logger(Protocol):
    """What is told every round, and closed at the end."""

    def __call__(self, record: Record) -> None:
        """Log a round."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def scalars(record: Record) -> dict[str, float]:
    """What a round is plotted by: its figures that are known and finite, seconds by phase, signs by side."""
    found: dict[str, float | None] = {
        "accuracy": record.accuracy,
        "balanced_accuracy": record.balanced_accuracy,
        "f1": record.f1,
        "worst_class": record.worst_class,
        "worst_client": record.worst_client,
        "calibration_error": record.calibration_error,
        "loss": record.loss,
        "train_loss": record.train_loss,
        "confidence": record.confidence,
        "byzantine_accepted": record.byzantine_accepted,
        "honest_accepted": record.honest_accepted,
    }
    found |= {f"seconds/{phase}": seconds for phase, seconds in record.seconds.items()}
    for side, shares in (record.signs or {}).items():
        if shares is not None:
            found |= {f"signs/{side}/{sign}": share for sign, share in zip(("+", "0", "-"), shares, strict=True)}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


class TensorBoard:
    """Writes event files that ``tensorboard --logdir`` shows.

    Args:
        folder: for them.

    Raises:
        LoggerError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise LoggerError(f"TensorBoard is not installed: {install('tensorboard')}") from error
        self._writer: Any = SummaryWriter(str(folder))

    def __call__(self, record: Record) -> None:
        """Log a round."""
        for name, value in scalars(record).items():
            self._writer.add_scalar(name, value, record.round)
        self._writer.flush()  # so that it can be followed, and a kill loses nothing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


class WeightsAndBiases:
    """Logs to Weights & Biases; offline unless that is asked otherwise, so that nothing leaves the machine unasked.

    Args:
        folder: for what it writes.
        name: of the run.
        config: of the run.
        project: that the run belongs to.
        mode: "offline" for files that ``wandb sync`` uploads later, or "online".

    Raises:
        LoggerError: wandb is not installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        config: Mapping[str, Any],
        project: str = "fedward",
        mode: Literal["offline", "online"] = "offline",
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise LoggerError(f"Weights & Biases is not installed: {install('wandb')}") from error
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = wandb.init(project=project, name=name, config=dict(config), dir=str(folder), mode=mode)

    def __call__(self, record: Record) -> None:
        """Log a round."""
        self._run.log(scalars(record), step=record.round)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.finish(exit_code=0 if kind is None else 1)


def make_logger(what: str, folder: Path, name: str, config: Mapping[str, Any]) -> Logger:
    """The logger of a run with this name: of `LOGGERS`.

    Raises:
        LoggerError: there is no such logger, or it is not installed.
    """
    if what == "tensorboard":
        return TensorBoard(folder / "tensorboard")
    if what == "wandb":
        return WeightsAndBiases(folder, name=name, config=config)
    raise LoggerError(f"no logger {what!r}; there are {', '.join(LOGGERS)}")
