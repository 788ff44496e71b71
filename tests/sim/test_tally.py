"""What a model makes of samples, beside scikit-learn's definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fedward.clients import Tally

SIZES = st.integers(1, 40)


@settings(max_examples=60)
@given(samples=SIZES, classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_figures_are_those_of_scikit_learn(samples: int, classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, classes, generator=generator)
    labels = torch.randint(0, classes - 1, (samples,), generator=generator)  # the last class has no sample
    found = Tally.sum([Tally.of(logits[:7], labels[:7]), Tally.of(logits[7:], labels[7:])])
    predicted = logits.argmax(1)
    there = sorted({*labels.tolist(), *predicted.tolist()})
    recall = metrics.recall_score(labels, predicted, labels=sorted(set(labels.tolist())), average="macro")
    assert found.samples == samples
    assert found.accuracy == metrics.accuracy_score(labels, predicted)
    assert found.balanced_accuracy == pytest.approx(recall)
    assert found.f1 == pytest.approx(metrics.f1_score(labels, predicted, labels=there, average="macro"))
    assert found.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)


def test_one_class_that_is_never_predicted_lowers_the_balanced_figures_alone() -> None:
    labels = torch.tensor([0] * 9 + [1])
    logits = torch.tensor([[1.0, 0.0]]).expand(10, 2)
    tally = Tally.of(logits, labels)
    figures: dict[str, Any] = {"accuracy": 0.9, "balanced_accuracy": 0.5, "f1": (18 / 19) / 2}
    for name, value in figures.items():
        assert getattr(tally, name) == pytest.approx(value)
