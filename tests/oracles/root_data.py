"""Reference rules that go by data of the server's own (FLTrust, Zeno, Fang's rejections), float64 NumPy.

Row i of ``X`` (n, d) is the message of client i.  Ties go to the lowest row index.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.rules import Matrix, Selection, Vector, as_rows, check_f, cosine, lowest, mean_of, norm

Base = Callable[[Matrix], Vector]
Impact = Callable[[Vector], float]


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
