"""LoRA adapters multiplied out, and the nearest adapter of a rank: NumPy, in float64, written from the formulas.

Hu et al. 2022, section 4.1: the change of a layer is (alpha / r) B A. Kalajdzievski 2023: alpha / sqrt(r).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def change(A: np.ndarray, B: np.ndarray, alpha: float, stabilised: bool = False) -> np.ndarray:
    rank = A.shape[0]
    scale = alpha / np.sqrt(rank) if stabilised else alpha / rank
    out = np.zeros((B.shape[0], A.shape[1]))
    for i in range(B.shape[0]):
        for j in range(A.shape[1]):
            out[i, j] = scale * sum(float(B[i, k]) * float(A[k, j]) for k in range(rank))
    return out


def row(layers: Mapping[str, tuple[np.ndarray, np.ndarray]], alpha: float) -> np.ndarray:
    """All layers in the order of their names, flattened."""
    return np.concatenate([change(A, B, alpha).ravel() for _, (A, B) in sorted(layers.items())])


def nearest_of_rank(matrix: np.ndarray, rank: int) -> np.ndarray:
    """Eckart & Young 1936: the sum of the first singular triples."""
    U, S, Vt = np.linalg.svd(matrix)
    best = np.zeros_like(matrix)
    for k in range(min(rank, len(S))):
        best += S[k] * np.outer(U[:, k], Vt[k])
    return best
