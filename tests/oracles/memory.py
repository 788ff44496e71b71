"""Reference rules with a memory or a root set (FLTrust, FLDetector, RFFL, Zeno, Fang, FoolsGold), float64 NumPy.

Row i of ``X`` (n, d) is the message of client ``ids[i]``.  Classes keep what they remember under the client's
id and count their rounds from 0.  Ties go to the lowest row index.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.rules import Matrix, Selection, Vector, as_rows, check_f, cosine, lowest, mean_of, norm

Mask = NDArray[np.bool_]
References = Callable[[int, int], ArrayLike]
Base = Callable[[Matrix], Vector]
Impact = Callable[[Vector], float]

W_FLOOR = 1e-12
COSINE_ONE = 1e-12


def check_ids(X: Matrix, ids: Sequence[Hashable]) -> list[Hashable]:
    """Return the ids as a list; raise unless there is one per row, without repeats."""
    names = list(ids)
    if len(names) != X.shape[0] or len(set(names)) != len(names):
        raise ValueError("one id per row, without repeats")
    return names


# --- FLTrust ------------------------------------------------------------------------------------------


def fltrust(X: ArrayLike, g0: ArrayLike) -> Vector:
    """ts_i = max(0, cos(x_i, g0)); sum ts_i (norm g0 / norm x_i) x_i / sum ts_i; zero if no ts_i > 0.

    Cao et al. 2021, Algorithm 2.
    """
    rows = as_rows(X)
    root = np.array(g0, dtype=np.float64)
    total = np.zeros(rows.shape[1])
    trust_sum = 0.0
    for x in rows:
        trust = max(0.0, cosine(x, root))
        if trust > 0.0:
            total = total + trust * (norm(root) / norm(x)) * x
            trust_sum += trust
    return total / trust_sum if trust_sum > 0.0 else total


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

    def suspicion(self, name: Hashable) -> float:
        """Step 4: mean of the client's scores in the last N scored rounds; NaN if it has none."""
        own = [scores[name] for scores in self.score_rounds if name in scores]
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
        suspicions = np.array([self.suspicion(name) for name in names])
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


# --- FoolsGold ----------------------------------------------------------------------------------------


def foolsgold(X: ArrayLike, H: ArrayLike, confidence: float = 1.0) -> tuple[Vector, Vector]:
    """Fung et al. 2020, Algorithm 1: (1/n) sum alpha_i x_i and alpha, from the summed updates H (n, d).

    cs_ij = cos(H_i, H_j), cs_ii = 0; v_i = max_j cs_ij; pardoning cs_ij <- cs_ij v_i / v_j where v_i < v_j;
    alpha_i = 1 - max_j cs_ij in [0, 1], divided by its maximum (all 0 if that is 0), 0.99 where it is 1, then
    confidence * (ln(alpha_i / (1 - alpha_i)) + 0.5) in [0, 1].  A cosine within 1e-12 of 1 counts as 1.
    """
    rows, history = as_rows(X), as_rows(H)
    if rows.shape != history.shape:
        raise ValueError("X and H must have the same shape")
    n = rows.shape[0]
    cs = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                cs[i, j] = cosine(history[i], history[j])
                if cs[i, j] > 1.0 - COSINE_ONE:
                    cs[i, j] = 1.0
    v = [max(cs[i]) for i in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j and v[i] < v[j]:
                cs[i, j] = cs[i, j] * v[i] / v[j]
    alpha = np.array([min(1.0, max(0.0, 1.0 - max(cs[i]))) for i in range(n)])
    top = max(alpha)
    if top == 0.0:
        return np.zeros(rows.shape[1]), np.zeros(n)
    for i in range(n):
        a = alpha[i] / top
        if a == 1.0:
            a = 0.99
        logit = math.log(a / (1.0 - a)) if a > 0.0 else -math.inf
        alpha[i] = min(1.0, max(0.0, confidence * (logit + 0.5)))
    out = np.zeros(rows.shape[1])
    for i in range(n):
        out = out + alpha[i] * rows[i]
    return out / n, alpha


class FoolsGold:
    """FoolsGold in rounds: each client's updates are summed under its id; only the present are compared."""

    def __init__(self, confidence: float = 1.0) -> None:
        self.confidence = confidence
        self.history: dict[Hashable, Vector] = {}

    def round(self, X: ArrayLike, ids: Sequence[Hashable]) -> tuple[Vector, Vector]:
        """Add this round's rows to the memory, then ``foolsgold``: the output and the weights alpha."""
        rows = as_rows(X)
        names = check_ids(rows, ids)
        for i, name in enumerate(names):
            self.history[name] = self.history.get(name, np.zeros(rows.shape[1])) + rows[i]
        return foolsgold(rows, np.array([self.history[name] for name in names]), self.confidence)


# --- RFFL ---------------------------------------------------------------------------------------------


@dataclass
class RFFLState:
    """Reputations by id (0 once removed), the removed ids and the number of rounds so far."""

    reputation: dict[Hashable, float] = field(default_factory=dict)
    removed: set[Hashable] = field(default_factory=set)
    rounds: int = 0

    def alive(self) -> list[Hashable]:
        """Known ids that were not removed."""
        return [name for name in self.reputation if name not in self.removed]


def rffl_round(
    X: ArrayLike,
    ids: Sequence[Hashable],
    state: RFFLState,
    alpha: float = 0.95,
    clip: float | None = None,
    warmup: int = 10,
) -> tuple[Vector, list[Hashable]]:
    """u = sum rho_i x_i with rho the reputations of the present alive, normalised to sum 1; and their ids.

    Xu & Lyu 2021, Algorithm 1.

    A new client starts with the mean reputation of the alive known ones (1 if none).  Then
    r_i = max(0, alpha rho_i + (1 - alpha) cos(x_i, u)), uniform if all are 0, scaled to the sum that the
    present had before.  From round ``warmup`` on, present clients with r_i / (sum over alive) < (1/3) / |alive| are
    removed, unless nobody would be left alive.  Rows are first clipped to norm ``clip``.  Changes ``state``.
    """
    rows = as_rows(X)
    names = check_ids(rows, ids)
    if clip is not None:
        for i in range(rows.shape[0]):
            size = norm(rows[i])
            if size > clip:
                rows[i] = rows[i] * (clip / size)
    r = state.reputation
    known = [r[name] for name in state.alive()]
    first = math.fsum(known) / len(known) if known else 1.0
    for name in names:
        if name not in r:
            r[name] = first
    present = [i for i, name in enumerate(names) if name not in state.removed]
    u = np.zeros(rows.shape[1])
    if present:
        before = math.fsum(r[names[i]] for i in present)
        share = {i: r[names[i]] / before if before > 0.0 else 1.0 / len(present) for i in present}
        for i in present:
            u = u + share[i] * rows[i]
        new = {i: max(0.0, alpha * share[i] + (1.0 - alpha) * cosine(rows[i], u)) for i in present}
        if all(value == 0.0 for value in new.values()):
            new = dict.fromkeys(present, 1.0)
        total = math.fsum(new.values())
        for i in present:
            r[names[i]] = before * new[i] / total
    if state.rounds >= warmup:
        alive = state.alive()
        everything = math.fsum(r[name] for name in alive)
        bad = [names[i] for i in present if everything > 0.0 and r[names[i]] / everything < (1.0 / 3.0) / len(alive)]
        if len(bad) < len(alive):
            for name in bad:
                state.removed.add(name)
                r[name] = 0.0
    state.rounds += 1
    return u, [names[i] for i in present]


class RFFL:
    """Xu & Lyu 2021, Algorithm 1 in rounds: ``rffl_round`` with its own state."""

    def __init__(self, alpha: float = 0.95, clip: float | None = None, warmup: int = 10) -> None:
        self.alpha = alpha
        self.clip = clip
        self.warmup = warmup
        self.state = RFFLState()

    def round(self, X: ArrayLike, ids: Sequence[Hashable]) -> tuple[Vector, list[Hashable]]:
        """One round: the output and the ids averaged, in row order."""
        return rffl_round(X, ids, self.state, self.alpha, self.clip, self.warmup)


# --- Zeno ---------------------------------------------------------------------------------------------


def zeno_scores(X: ArrayLike, loss: Impact, rho: float) -> list[float]:
    """Xie et al. 2019: score_i = loss(0) - loss(x_i) - rho norm(x_i)^2, ``loss`` taking the server's step inside."""
    rows = as_rows(X)
    now = float(loss(np.zeros(rows.shape[1])))
    return [now - float(loss(x.copy())) - rho * norm(x) ** 2 for x in rows]


def zeno(X: ArrayLike, loss: Impact, f: int, rho: float, keep: int | None = None) -> Selection:
    """Xie et al. 2019: mean of the n - f (or ``keep``) rows with the best scores; an equal score: the lower index."""
    rows = as_rows(X)
    check_f(f)
    count = rows.shape[0] - f if keep is None else keep
    if not 1 <= count <= rows.shape[0]:
        raise ValueError("the number of rows kept must lie in 1..n")
    kept = sorted(lowest([-score for score in zeno_scores(rows, loss, rho)], count))
    return mean_of(rows, kept), kept


# --- Fang ---------------------------------------------------------------------------------------------


def fang_impacts(X: ArrayLike, base: Base, impact: Impact) -> list[float]:
    """Fang et al. 2020, section 5: impact_i = impact(base(all)) - impact(base(all without i)); needs two rows."""
    rows = as_rows(X)
    with_all = float(impact(base(rows.copy())))
    return [with_all - float(impact(base(np.delete(rows, i, axis=0)))) for i in range(rows.shape[0])]


def fang_kept(X: ArrayLike, f: int, base: Base, impact: Impact) -> list[int]:
    """Sorted indices left after rejecting the f largest impacts, of equal ones the lower index first.

    Fang et al. 2020, section 5.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_f(f)
    if f >= n:
        raise ValueError("rejecting needs f < n")
    if f == 0:
        return list(range(n))
    rejected = lowest([-value for value in fang_impacts(rows, base, impact)], f)
    return [i for i in range(n) if i not in rejected]


def fang_reject(X: ArrayLike, f: int, base: Base, impact: Impact) -> Selection:
    """Base rule on the survivors, and their indices.

    Fang et al. 2020, section 5 (ERR with an error, LFR with a loss as ``impact``).
    """
    rows = as_rows(X)
    kept = fang_kept(rows, f, base, impact)
    return base(rows[kept]), kept


def fang_union(X: ArrayLike, f: int, base: Base, error: Impact, loss: Impact) -> Selection:
    """Base rule on the clients kept by both ERR and LFR; nobody left: the zero vector.

    Fang et al. 2020, section 5 (Union).
    """
    rows = as_rows(X)
    by_loss = fang_kept(rows, f, base, loss)
    kept = [i for i in fang_kept(rows, f, base, error) if i in by_loss]
    return (base(rows[kept]) if kept else np.zeros(rows.shape[1])), kept
