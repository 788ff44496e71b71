"""The server's own data: what some rules judge clients by."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..stack import ColumnShare, Layout, Updates, rows_of, whole_rows

_BATCH = 1000


@runtime_checkable
class Evaluator(Protocol):
    """Tries what would become of the server's current model, on a small clean data set of the server's own."""

    def update(self) -> Tensor:
        """What an honest client with the server's data would send: (d,)."""

    def losses(self, steps: Updates) -> Tensor:
        """Mean loss after the server has taken a row as its aggregate, for each row: (n,) float64."""

    def error_rates(self, steps: Updates) -> Tensor:
        """Share of wrong answers after the server has taken a row as its aggregate, for each row: (n,) float64."""


class RootEvaluator:
    """An evaluator from a model and some labelled samples.

    A row u leads to the model w + step u: ``step`` is -lr where clients send gradients, 1 where they send changes of
    the weights. Server momentum and weight decay are left out: they are the same for every row.

    Args:
        model: the server's model; its parameters are read at every call, its buffers belong to it.
        inputs, labels: the root data, on the model's device.
        step: as above.
        train: what a client would do, from a copy of the model to its (d,) update; one full gradient (times -1 where
            step is positive) if None.

    Raises:
        ValueError: no samples, or step 0.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        labels: Tensor,
        *,
        step: float,
        train: Callable[[nn.Module], Tensor] | None = None,
    ) -> None:
        if len(inputs) == 0 or len(inputs) != len(labels):
            raise ValueError(f"root data needs samples, as many inputs as labels, got {len(inputs)} and {len(labels)}")
        if step == 0:
            raise ValueError("step says where an aggregate moves the model: -lr for gradients, 1 for changes, got 0")
        self.model = model
        self.inputs = inputs
        self.labels = labels
        self.step = step
        self.train = train

    def update(self) -> Tensor:
        """See `Evaluator.update`."""
        if self.train is not None:
            return self.train(copy.deepcopy(self.model)).detach()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        # In training, a model moves its running statistics as it looks at samples: those of a copy.
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        logits = torch.func.functional_call(self.model, buffers, (self.inputs,))
        loss = nn.functional.cross_entropy(logits, self.labels)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        gradient = torch.cat([g.reshape(-1) for g in gradients])
        return gradient if self.step < 0 else -gradient

    def losses(self, steps: Updates) -> Tensor:
        """See `Evaluator.losses`."""
        return self._try(steps)[0]

    def error_rates(self, steps: Updates) -> Tensor:
        """See `Evaluator.error_rates`."""
        return self._try(steps)[1]

    def _try(self, steps: Updates) -> tuple[Tensor, Tensor]:
        parameters = {k: p.detach() for k, p in self.model.named_parameters() if p.requires_grad}
        layout = Layout.of(parameters, buffers=None)
        results = []
        with _evaluating(self.model), torch.inference_mode():
            for row in rows_of(steps):
                moved = {k: parameters[k].add(v, alpha=self.step) for k, v in layout.unflatten(row).items()}
                loss, wrong = 0.0, 0
                for inputs, labels in zip(
                    torch.split(self.inputs, _BATCH), torch.split(self.labels, _BATCH), strict=True
                ):
                    logits = torch.func.functional_call(self.model, moved, (inputs,))
                    loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
                    wrong += int((logits.argmax(1) != labels).sum())
                results.append((loss / len(self.labels), wrong / len(self.labels)))
        losses, wrongs = torch.tensor(results, dtype=torch.float64).T
        return losses, wrongs


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout and the like; afterwards each of its parts is as before, and some may be frozen."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


class Once:
    """An evaluator that works out its update once a round: what is known of a tensor is known of that very object.

    Where processes hold the columns together, each has the root data and tries whole rows; of the update it keeps the
    columns of its share. Losses and error rates are float64 and on the CPU, as decisions are, whatever they were worked
    out in.
    """

    def __init__(self, evaluator: Evaluator, share: ColumnShare) -> None:
        self._evaluator = evaluator
        self._share = share
        self._update: Tensor | None = None

    def update(self) -> Tensor:
        """See `Evaluator.update`.

        Raises:
            ValueError: it is not as wide as the clients' rows, or not finite.
        """
        if self._update is None:
            update = self._evaluator.update()
            odd = int((~update.isfinite()).sum())
            if update.shape != (self._share.d,) or odd:
                raise ValueError(
                    f"the evaluator's update must be {self._share.d} finite numbers like the clients' rows, got shape "
                    f"{tuple(update.shape)}, {odd} of them not finite"
                )
            self._update = self._share.part(update)
        return self._update

    def losses(self, steps: Updates) -> Tensor:
        """See `Evaluator.losses`."""
        return _of_each(steps, "losses", self._evaluator.losses(whole_rows(steps)))

    def error_rates(self, steps: Updates) -> Tensor:
        """See `Evaluator.error_rates`."""
        return _of_each(steps, "error rates", self._evaluator.error_rates(whole_rows(steps)))


def _of_each(steps: Updates, what: str, found: Tensor) -> Tensor:
    if found.shape != (steps.n,):
        raise ValueError(f"{what} are one number for each of {steps.n} rows, got shape {tuple(found.shape)}")
    return found.double().cpu()
