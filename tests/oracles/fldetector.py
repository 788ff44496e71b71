"""FLDetector, the reference: predictions by L-BFGS, k-means on a line, the gap statistic, whole rounds.

Row i of ``X`` (n, d) is the message of client ``ids[i]``.  What is remembered is kept under the client's id;
rounds count from 0.  Ties go to the lowest row index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.memory import check_ids
from tests.oracles.rules import Matrix, Vector, as_rows, mean_of, norm

Mask = NDArray[np.bool_]
References = Callable[[int, int], ArrayLike]


W_FLOOR = 1e-12


# --- FLDetector: the parts ----------------------------------------------------------------------------


def lbfgs_hvp(S: ArrayLike, Y: ArrayLike, v: ArrayLike) -> Vector:
    """Zhang et al. 2022, Algorithm 1: H v = sigma v - [sigma S, Y] inv([[sigma S'S, L], [L', -D]]) [sigma S'v; Y'v].

    Columns of S and Y (d, N) are the difference pairs, newest last; sigma = y_last.s_last / s_last.s_last (0 if
    s_last = 0), L = strict lower part of S'Y, D = diag(S'Y).  Singularity is judged (numpy's matrix_rank) after
    dividing pair j by norm s_j, so that old long steps do not hide new short ones; a common factor of s_j and y_j
    does not change H.  If singular: the pseudo-inverse of the matrix as it stands.
    A common factor of S and v cancels: sigma S, sigma v do not change, the bracket and its right side both
    take the factor.  Steps may therefore be given as aggregates instead of -lr times aggregates.
    """
    s, y = np.array(S, dtype=np.float64), np.array(Y, dtype=np.float64)
    direction = np.array(v, dtype=np.float64)
    if s.ndim != 2 or s.shape != y.shape or s.shape[1] == 0 or direction.shape != (s.shape[0],):
        raise ValueError("S and Y must be (d, N) with N >= 1, v (d,)")
    size = s.shape[1]
    last = float(np.sum(s[:, -1] * s[:, -1]))
    sigma = float(np.sum(y[:, -1] * s[:, -1])) / last if last > 0.0 else 0.0
    middle = np.zeros((2 * size, 2 * size))
    right = np.zeros(2 * size)
    for i in range(size):
        for j in range(size):
            middle[i, j] = sigma * float(np.sum(s[:, i] * s[:, j]))
            if i > j:
                middle[i, size + j] = float(np.sum(s[:, i] * y[:, j]))
                middle[size + j, i] = middle[i, size + j]
        middle[size + i, size + i] = -float(np.sum(s[:, i] * y[:, i]))
        right[i] = sigma * float(np.sum(s[:, i] * direction))
        right[size + i] = float(np.sum(y[:, i] * direction))
    lengths = [norm(s[:, j]) for j in range(size)]
    scale = np.array([1.0 / length if length > 0.0 else 1.0 for length in lengths * 2])
    scaled = middle * np.outer(scale, scale)
    if np.linalg.matrix_rank(scaled) == 2 * size:
        weights = scale * np.linalg.solve(scaled, scale * right)
    else:
        weights = np.linalg.pinv(middle, rcond=2 * size * float(np.finfo(np.float64).eps)) @ right
    out = sigma * direction
    for i in range(size):
        out = out - weights[i] * sigma * s[:, i] - weights[size + i] * y[:, i]
    return out


def fldetector_distances(X: ArrayLike, previous: Sequence[Vector | None] | Matrix, hv: ArrayLike) -> Vector:
    """Zhang et al. 2022, Algorithm 1: d_i = norm(previous_i + H v - x_i), divided by their sum; all 0 if the sum is 0.

    A row whose ``previous`` is None or holds a NaN has no previous gradient: its entry is NaN, and the sum runs
    over the others.
    """
    rows = as_rows(X)
    if len(previous) != rows.shape[0]:
        raise ValueError("one previous gradient (or None) per row")
    product = np.array(hv, dtype=np.float64)
    out = np.full(rows.shape[0], np.nan)
    for i, before in enumerate(previous):
        if before is not None and not np.isnan(before).any():
            out[i] = norm(np.array(before, dtype=np.float64) + product - rows[i])
    total = math.fsum(d for d in out if not math.isnan(d))
    for i in range(len(out)):
        if not math.isnan(out[i]):
            out[i] = out[i] / total if total > 0.0 else 0.0
    return out


def kmeans_1d(values: ArrayLike, k: int) -> tuple[NDArray[np.int64], float]:
    """Exact k-means on the line by dynamic programming: labels in order of the centres, and W.

    Zhang et al. 2022, Algorithm 1.

    W = sum over clusters of the squared distances to the cluster's mean.  Equal values share a cluster, so with
    fewer than k distinct values there are fewer clusters (W = 0).  Partitions whose W agrees within 1e-12
    relative are equal; then the upper clusters take more values (0, 1, 2 in two clusters: 0 | 1, 2).
    """
    x = np.array(values, dtype=np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise ValueError("expected finite values")
    if not 1 <= k <= len(x):
        raise ValueError("k must lie in 1..n")
    points = sorted({float(v) for v in x})
    m = len(points)
    weight = [int(np.sum(x == p)) for p in points]
    cost = [[0.0] * m for _ in range(m)]  # cost[i][j]: squares within points i..j, by Welford's update
    for i in range(m):
        centre, count, squares = points[i], weight[i], 0.0
        for j in range(i + 1, m):
            count += weight[j]
            delta = points[j] - centre
            centre += weight[j] * delta / count
            squares += weight[j] * delta * (points[j] - centre)
            cost[i][j] = squares
    clusters = min(k, m)
    best = [cost[0][:]]  # best[c][j]: least W of points 0..j in c + 1 clusters
    start = [[0] * m]  # start[c][j]: first point of the last of those clusters
    for c in range(1, clusters):
        row, first = [math.inf] * m, [0] * m
        for j in range(c, m):
            row[j], first[j] = best[c - 1][c - 1] + cost[c][j], c
            for i in range(c + 1, j + 1):
                candidate = best[c - 1][i - 1] + cost[i][j]
                if candidate < row[j] - 1e-12 * row[j]:
                    row[j], first[j] = candidate, i
        best.append(row)
        start.append(first)
    label_of: dict[float, int] = {}
    stop = m
    for c in range(clusters - 1, -1, -1):
        begin = start[c][stop - 1]
        for p in points[begin:stop]:
            label_of[p] = c
        stop = begin
    labels = np.array([label_of[float(v)] for v in x], dtype=np.int64)
    within = 0.0
    for c in range(clusters):
        members = x[labels == c]
        centre = members[0] if len(set(members)) == 1 else float(np.sum(members)) / len(members)
        within += float(np.sum((members - centre) ** 2))
    return labels, within


def gap_values(
    scores: ArrayLike, kmax: int, references: ArrayLike, official: bool = False
) -> tuple[list[float], list[float]]:
    """Gap(k) and s_k for k = 1..min(kmax, n - 1), of min-max normalised scores (not all equal).

    Zhang et al. 2022, Algorithm 1.

    Gap(k) = mean_b ln W*_kb - ln W_k (``official``: ln mean_b W*_kb), s_k = sd_b(ln W*_kb) sqrt(1 + 1/B).
    """
    raw = np.array(scores, dtype=np.float64)
    draws = as_rows(references)
    if raw.ndim != 1 or not np.isfinite(raw).all() or draws.shape[1] != len(raw):
        raise ValueError("finite scores (n,), references (B, n)")
    unit = (raw - min(raw)) / (max(raw) - min(raw))
    B = draws.shape[0]
    gaps, spreads = [], []
    for k in range(1, min(kmax, len(raw) - 1) + 1):
        w = max(kmeans_1d(unit, k)[1], W_FLOOR)
        w_ref = [max(kmeans_1d(draw, k)[1], W_FLOOR) for draw in draws]
        logs = [math.log(u) for u in w_ref]
        mean_log = sum(logs) / B
        expected = math.log(sum(w_ref) / B) if official else mean_log
        gaps.append(expected - math.log(w))
        spreads.append(math.sqrt(sum((u - mean_log) ** 2 for u in logs) / B) * math.sqrt(1.0 + 1.0 / B))
    return gaps, spreads


def gap_statistic_k(scores: ArrayLike, kmax: int, references: ArrayLike, official: bool = False) -> tuple[int, bool]:
    """k* = first k < kmax with Gap(k) >= Gap(k+1) - s_{k+1}, else kmax; attack iff k* > 1.

    Zhang et al. 2022, Algorithm 1.

    kmax is lowered to n - 1; equal scores, or a single one, give (1, False).
    """
    raw = np.array(scores, dtype=np.float64)
    if kmax < 1:
        raise ValueError("kmax must be at least 1")
    if raw.ndim != 1 or len(raw) == 0 or not np.isfinite(raw).all():
        raise ValueError("expected finite scores")
    if min(raw) == max(raw):
        return 1, False
    gaps, spreads = gap_values(raw, kmax, references, official)
    chosen = len(gaps)
    for k in range(1, len(gaps)):
        if gaps[k - 1] >= gaps[k] - spreads[k]:
            chosen = k
            break
    return chosen, chosen > 1


def fldetector_detect(scores: ArrayLike, kmax: int, references: ArrayLike, official: bool = False) -> Mask:
    """True for the members of the 2-means cluster with the larger mean; nobody without attack.

    Zhang et al. 2022, Algorithm 1.
    """
    raw = np.array(scores, dtype=np.float64)
    if not gap_statistic_k(raw, kmax, references, official)[1]:
        return np.zeros(len(raw), dtype=bool)
    labels, _ = kmeans_1d(raw, 2)
    return labels == 1


# --- FLDetector: whole rounds -------------------------------------------------------------------------


class FLDetector:
    """Score every client against its predicted gradient, drop the suspicious cluster.

    Zhang et al. 2022, Algorithm 1 in rounds.

    With g_t the output of round t: step into round t's model s_t = g_{t-1}, y_t = g_t - g_{t-1}.  Round t knows the
    pairs up to (s_{t-1}, y_{t-1}) and predicts x_i(last received) + H s_t.  The true step is -lr g_{t-1}; with a
    constant lr that factor is common to S and v and cancels in H v (see ``lbfgs_hvp``).
    ``start`` (default: the window N) pairs and score vectors must have been made, this round's scores included,
    before anybody is dropped; scores are made once ``scores_from`` pairs exist.
    ``references(round, m)`` gives the (B, m) uniform draws for the m clients under test.
    """

    def __init__(
        self,
        references: References,
        window: int = 10,
        start: int | None = None,
        kmax: int = 7,
        official: bool = False,
        scores_from: int = 1,
    ) -> None:
        if window < 1 or scores_from < 1:
            raise ValueError("window and scores_from must be at least 1")
        self.references = references
        self.window = window
        self.start = window if start is None else start
        self.kmax = kmax
        self.official = official
        self.scores_from = scores_from
        self.rounds = 0
        self.pairs_made = 0
        self.vectors_made = 0
        self.S: list[Vector] = []
        self.Y: list[Vector] = []
        self.score_rounds: list[dict[Hashable, float]] = []
        self.received: dict[Hashable, Vector] = {}
        self.aggregate: Vector | None = None
        self.last_scores: Vector = np.zeros(0)
        self.last_suspicion: Vector = np.zeros(0)
        self.detecting = False

    def score(self, rows: Matrix, names: list[Hashable]) -> Vector:
        """Step 3: this round's d_i; all NaN while pairs are missing."""
        if self.pairs_made < self.scores_from or self.aggregate is None:
            return np.full(len(names), np.nan)
        hv = lbfgs_hvp(np.column_stack(self.S), np.column_stack(self.Y), self.aggregate)
        return fldetector_distances(rows, [self.received.get(name) for name in names], hv)

    def suspicion(self, name: Hashable, now: int) -> float:
        """Step 4: mean of the client's scores in the last N scored rounds; NaN if it has none.

        Scores of a round of k add up to 1, and their average is 1/k; ``now`` is the k of this round. Brought to it, a
        score is k/now times as large: the average of every round is then 1/now.
        """
        own = [scores[name] * len(scores) / now for scores in self.score_rounds if name in scores]
        return math.fsum(own) / len(own) if own else math.nan

    def round(self, X: ArrayLike, ids: Sequence[Hashable]) -> tuple[Vector, list[Hashable]]:
        """One round: the mean of the kept rows, and the kept ids in row order."""
        rows = as_rows(X)
        names = check_ids(rows, ids)
        scores = self.score(rows, names)
        fresh = {name: float(d) for name, d in zip(names, scores, strict=True) if not math.isnan(d)}
        if fresh:
            self.vectors_made += 1
            self.score_rounds = [*self.score_rounds, fresh][-self.window :]
        now = len(self.score_rounds[-1]) if self.score_rounds else 0
        suspicions = np.array([self.suspicion(name, now) for name in names])
        tested = [i for i in range(len(names)) if not math.isnan(suspicions[i])]
        bad: set[int] = set()
        self.detecting = min(self.pairs_made, self.vectors_made) >= self.start and len(tested) > 0
        if self.detecting:
            draws = self.references(self.rounds, len(tested))
            mask = fldetector_detect(suspicions[tested], self.kmax, draws, self.official)
            bad = {i for i, malicious in zip(tested, mask, strict=True) if malicious}
        kept = [i for i in range(len(names)) if i not in bad]
        output = mean_of(rows, kept)
        if self.aggregate is not None:
            self.S = [*self.S, self.aggregate][-self.window :]
            self.Y = [*self.Y, output - self.aggregate][-self.window :]
            self.pairs_made += 1
        self.aggregate = output.copy()
        for i, name in enumerate(names):
            self.received[name] = rows[i].copy()
        self.last_scores, self.last_suspicion = scores, suspicions
        self.rounds += 1
        return output, [names[i] for i in kept]
