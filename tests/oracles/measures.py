"""What is measured of models and of runs, straight from the formulas, one sample and one run at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, sqrt


def calibration_error(logits: Sequence[Sequence[float]], labels: Sequence[int], bins: int = 15) -> float:
    """Guo et al. 2017, equation 3: sum_b n_b / N |accuracy - confidence| over bins ((b - 1) / B, b / B]."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for row, label in zip(logits, labels, strict=True):
        largest = max(row)
        total = sum(exp(value - largest) for value in row)
        confidence = 1 / total
        for b in range(bins):
            if b / bins < confidence <= (b + 1) / bins:
                members[b].append((confidence, row[label] == largest))
    error = 0.0
    for found in filter(None, members):
        accuracy = sum(right for _, right in found) / len(found)
        confidence = sum(value for value, _ in found) / len(found)
        error += len(found) / len(labels) * abs(accuracy - confidence)
    return error


def client_accuracy(predicted: Sequence[int], labels: Sequence[int], held: Sequence[int]) -> float:
    """Every test sample weighs as many samples of its class as the client holds, over those that there are to test."""
    weights = [held.count(label) / labels.count(label) for label in labels]
    right = [weight for weight, taken, label in zip(weights, predicted, labels, strict=True) if taken == label]
    return sum(right) / sum(weights)


# --- of runs --------------------------------------------------------------------------------------------------


def best(tests: Mapping[int, float]) -> float:
    """The highest accuracy of the tests, by round."""
    highest = -1.0
    for accuracy in tests.values():
        highest = max(highest, accuracy)
    return highest


def impact(clean: Sequence[float], attacked: Sequence[float]) -> float:
    """Mean best accuracy of Mean without attack, less that under the attack: over seeds each."""
    return sum(clean) / len(clean) - sum(attacked) / len(attacked)


def spread(tests: Mapping[int, float], last: int) -> float:
    """Standard deviation of the last tests."""
    values = [tests[number] for number in sorted(tests)][-last:]
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def rounds_to(tests: Mapping[int, float], target: float) -> int | None:
    """The first tested round that reaches it."""
    for number in sorted(tests):
        if tests[number] >= target:
            return number
    return None
