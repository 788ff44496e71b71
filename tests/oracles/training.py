"""How clients and servers train, in plain loops over NumPy float64; see the package for the sources.

Hsu et al. 2019; Karimireddy et al. 2020, "SCAFFOLD"; Li et al. 2020, "Federated optimization in heterogeneous
networks"; Reddi et al. 2021, "Adaptive federated optimization".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Vector = np.ndarray


def adaptive_server(
    kind: str, w: Vector, deltas: Sequence[Vector], lr: float, beta1: float, beta2: float, tau: float
) -> Vector:
    """Reddi et al. 2021, Algorithm 2: the model after these mean changes of clients."""
    m, v = np.zeros_like(w), np.full_like(w, tau**2)
    for delta in deltas:
        m = beta1 * m + (1 - beta1) * delta
        for j in range(len(w)):
            square = delta[j] ** 2
            if kind == "adagrad":
                v[j] = v[j] + square
            elif kind == "yogi":
                v[j] = v[j] - (1 - beta2) * square * np.sign(v[j] - square)
            else:
                v[j] = beta2 * v[j] + (1 - beta2) * square
        w = w + lr * m / (np.sqrt(v) + tau)
    return w


def averaged_with_momentum(w: Vector, deltas: Sequence[Vector], lr: float, beta: float) -> Vector:
    """Hsu et al. 2019: v <- beta v + g, w <- w - lr v, with g the mean change from client to server."""
    v = np.zeros_like(w)
    for delta in deltas:
        v = beta * v - delta
        w = w - lr * v
    return w


def proximal_steps(gradient: Callable[[Vector, int], Vector], w: Vector, steps: int, lr: float, mu: float) -> Vector:
    """Li et al. 2020, equation 2, by gradient descent from the server's model w."""
    own = w.copy()
    for k in range(steps):
        own = own - lr * (gradient(own, k) + mu * (own - w))
    return own


def scaffold(
    gradients: Sequence[Callable[[Vector, int, int], Vector]],
    chosen: Sequence[Sequence[int]],
    x: Vector,
    steps: int,
    lr: float,
    server_lr: float,
) -> tuple[Vector, Vector, list[Vector]]:
    """Karimireddy et al. 2020, Algorithm 1, option II: model, server's control variate, clients' ones.

    Args:
        gradients: of each client, at a point, in a round, at a step.
        chosen: who takes part in each round.
        x: the server's first model.
        steps: the paper's K.
        lr, server_lr: eta_l and eta_g.
    """
    n = len(gradients)
    c = np.zeros_like(x)
    own = [np.zeros_like(x) for _ in range(n)]
    for round, present in enumerate(chosen):
        moves, changes = [], []
        for i in present:
            y = x.copy()
            for k in range(steps):
                y = y - lr * (gradients[i](y, round, k) - own[i] + c)
            new = own[i] - c + (x - y) / (steps * lr)
            moves.append(y - x)
            changes.append(new - own[i])
            own[i] = new
        x = x + server_lr * np.mean(moves, axis=0)
        c = c + len(present) / n * np.mean(changes, axis=0)
    return x, c, own


def cropped_and_flipped(image: Vector, down: int, right: int, mirrored: bool, crop: int) -> Vector:
    """One image (C, H, W), pixel by pixel: a window of the padded image, then from right to left."""
    channels, height, width = image.shape
    out = np.zeros_like(image)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                column = width - 1 - j if mirrored else j
                a, b = i + down - crop, column + right - crop
                if 0 <= a < height and 0 <= b < width:
                    out[c, i, j] = image[c, a, b]
    return out
