"""The SignGuard family: sign statistics of each row, clustered (Xu, Huang, Song & Lan, 2022)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import MeanShift
from torch import Tensor

from ..mixers import clip_factors
from ..parameters import Variant
from ..registry import register
from ..rule import Context, Plan, Reason, Rule, State, median
from ..stack import Dots, Gram, Sample, SignCounts, SqNorms, Statistic, Updates
from .distance import krum_scores

# The distance feature of a row that is farther than the median, and the greatest similarity feature.
_FEATURE = 0.2


@register("sign-guard", paper="Xu et al. 2022")
@dataclass(frozen=True, kw_only=True)
class SignGuard(Rule):
    """Average, clipped, of the rows of ordinary length in the largest cluster of sign statistics.

    1. M = median norm; S1 = {i : lower <= |x_i| / M <= upper}.
    2. Features of a row: its shares of positive, zero and negative entries, on a random tenth of the columns.
    3. Mean-Shift on the features; S2 = the largest cluster. Trusted: S1 and S2 both.
    4. Output: mean over the trusted of x_i min(1, M / |x_i|). Nobody trusted: the zero vector.

    Xu, Huang, Song & Lan, "Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering",
    ICDCS 2022, Algorithm 2; the arXiv version's pseudo-code does not clip (``clip=False``). It does not use f.

    ``variant="official"`` is what the authors' code does instead: strict inequalities in step 1; one contiguous run of
    columns; shares divided by their maximum; the clip radius is the lower median; at most 50 rows, from a fixed
    seed, set the clusters' bandwidth; and in -Sim and -Dist the differences stated there.

    Args:
        lower, upper: bounds on the norm in units of the median norm; 0 and inf switch the filter off.
        fraction: share of the columns whose signs are counted.
        clip: whether rows are clipped to the median norm before they are averaged.
        cluster: whether to cluster; off, only norms decide (the paper's ablation).
        variant: "paper" or "official".

    Raises:
        ValueError: parameters out of these bounds.
    """

    lower: float = 0.1
    upper: float = 3.0
    fraction: float = 0.1
    clip: bool = True
    cluster: bool = True
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lower <= self.upper:
            raise ValueError(f"0 <= lower <= upper is needed, got lower={self.lower} and upper={self.upper}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"0 < fraction <= 1 is needed, got fraction={self.fraction}")

    @property
    def official(self) -> bool:
        """Whether to do as the authors' code does."""
        return self.variant == "official"

    def signs(self, context: Context) -> SignCounts:
        """The sign counts that this rule reads in this round."""
        seed = context.draw_seed("columns")
        return SignCounts(Sample(seed=seed, fraction=self.fraction, contiguous=self.official))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(), self.signs(context), *self.extra_statistics(state, context))

    def extra_statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        """The statistics behind `extra_feature`."""
        return ()

    def extra_feature(self, updates: Updates, state: State, context: Context) -> Tensor | None:
        """One more feature column, (n,), or None."""
        return None

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        M = median(norms)
        too_small, too_large = self._norm_filter(norms, M)
        extra = self.extra_feature(updates, state, context)
        counts = updates.compute(self.signs(context))[0][:, :3]
        features = counts / counts.sum(1, keepdim=True)
        if self.official:
            features = features / (features.amax(0) + 1e-8)
        if extra is not None:
            # Rounding in a similarity must not tell identical rows apart.
            features = torch.cat([features, extra.round(decimals=12)[:, None]], 1)
        inlier = largest_cluster(features, official=self.official) if self.cluster else torch.ones(updates.n).bool()
        trusted = inlier & ~too_small & ~too_large

        radius = float(norms.median()) if self.official else M  # torch.median is the lower median
        weights = trusted.double() / max(int(trusted.sum()), 1)
        if self.clip:
            weights = weights * clip_factors(norms, radius)
        reasons = [
            Reason.NORM_TOO_SMALL if small else Reason.NORM_TOO_LARGE if large else Reason.SIGN_OUTLIER
            for small, large in zip(too_small.tolist(), too_large.tolist(), strict=True)
        ]
        scores = {"norm": norms / M if M > 0 else norms, "positive": features[:, 0]}
        if extra is not None:
            scores["feature"] = extra
        return Plan(updates, weights, scores=scores, reasons=reasons)

    def _norm_filter(self, norms: Tensor, M: float) -> tuple[Tensor, Tensor]:
        """Rows that are too short and too long. If half the rows are zero, only those are of ordinary length."""
        if M == 0:
            return torch.zeros_like(norms).bool(), norms > 0
        ratio = norms / M
        if self.official:
            return ratio <= self.lower, ratio >= self.upper
        return ratio < self.lower, ratio > self.upper


@dataclass(frozen=True, kw_only=True)
class _WithReference(SignGuard):
    """SignGuard with a feature relative to the previous aggregate, or to all rows while there is none."""

    warmup: int = 3
    history: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup < 1:
            raise ValueError(f"the first round has no previous aggregate, so warmup >= 1, got {self.warmup}")

    def reference(self, state: State, context: Context) -> Tensor | None:
        """The previous aggregate, after the warm-up."""
        return state.get("reference") if context.round >= self.warmup else None

    def extra_statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        reference = self.reference(state, context)
        return (Gram(),) if reference is None else (Dots(reference),)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"reference": output.clone()}  # the caller may do with the output as it likes


@register("sign-guard-sim", paper="Xu et al. 2022", complexity="O(n d), O(n^2 d) in the warm-up")
@dataclass(frozen=True, kw_only=True)
class SignGuardSim(_WithReference):
    """SignGuard with the cosine similarity to the previous aggregate as a fourth feature.

    s_i = cos(x_i, previous aggregate), in the warm-up the median over j of cos(x_i, x_j); with m = median of s the
    feature is clip(s_i, 0, m) / (5 m), between 0 and 0.2; all 0 if m <= 0. Xu et al. 2022, section IV.

    ``variant="official"``: in the warm-up the lower median over all j, with 0 for j = i.

    Args:
        warmup: rounds without a reference. The paper has 3 epochs, which are 60 of its rounds.
    """

    def extra_feature(self, updates: Updates, state: State, context: Context) -> Tensor:
        norms, reference = updates.norms(), self.reference(state, context)
        if reference is None:
            cosines = _cosines(updates.gram(), norms, norms)
            s = self._typical(cosines)
        else:
            s = _cosines(updates.compute(Dots(reference))[0], norms, reference.double().norm().cpu()[None])[:, 0]
        m = float(s.median()) if self.official else median(s)
        if m <= 0:
            return torch.zeros_like(s)
        return s.clamp(0, m) / (5 * m + (1e-8 if self.official else 0))

    def _typical(self, cosines: Tensor) -> Tensor:
        if self.official:
            return cosines.clone().fill_diagonal_(0).median(1).values
        n = len(cosines)
        others = cosines[~torch.eye(n, dtype=torch.bool)].reshape(n, n - 1)
        return torch.tensor([median(row) if n > 1 else 1.0 for row in others], dtype=torch.float64)


@register("sign-guard-dist", paper="Xu et al. 2022", complexity="O(n d), O(n^2 d) in the warm-up")
@dataclass(frozen=True, kw_only=True)
class SignGuardDist(_WithReference):
    """SignGuard with the distance from the previous aggregate as a fourth feature.

    score_i = |x_i - previous aggregate|, in the warm-up the sum of squared distances to the max(1, floor(n / 2) - 1)
    nearest rows; the feature is 0 if score_i < the median score, else 0.2. Xu et al. 2022, section IV.

    ``variant="official"``: warm-up in the first round only, with plain distances; 0.2 from 1.1 times the lower median.

    Args:
        warmup: rounds without a reference. The paper has 3 epochs, which are 60 of its rounds.
    """

    def reference(self, state: State, context: Context) -> Tensor | None:
        return state.get("reference") if context.round >= (1 if self.official else self.warmup) else None

    def extra_feature(self, updates: Updates, state: State, context: Context) -> Tensor:
        reference = self.reference(state, context)
        if reference is None:
            sq_dists = updates.sq_dists()
            score = krum_scores(sq_dists.sqrt() if self.official else sq_dists, updates.n // 2 - 1)
        else:
            squares = updates.norms().square() + reference.double().square().sum().cpu()
            score = (squares - 2 * updates.compute(Dots(reference))[0][:, 0]).clamp_min(0).sqrt()
        near = score < 1.1 * float(score.median()) if self.official else score < median(score)
        return torch.where(near, 0.0, _FEATURE).double()


def _cosines(dots: Tensor, norms: Tensor, others: Tensor) -> Tensor:
    """Cosines from inner products; 0 where either vector is zero."""
    scale = norms[:, None] * others[None, :]
    return torch.where(scale > 0, dots / scale.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def largest_cluster(features: Tensor, *, official: bool = False) -> Tensor:
    """Which rows are in the most populous Mean-Shift cluster: (n,) bool.

    scikit-learn's Mean-Shift with a flat kernel, binned seeds, no forced members, and `bandwidth`. Clusters of the same
    size: the denser one, then the one of larger coordinates. If the bandwidth is 0, equal rows are a cluster.
    """
    points = features.numpy()
    few = official and len(points) > 50
    h = bandwidth(points[np.random.RandomState(0).permutation(len(points))[:50]] if few else points)
    if h == 0:
        _, groups = np.unique(points, axis=0, return_inverse=True)
        labels = groups.max() - groups.reshape(-1)
    else:
        with warnings.catch_warnings():  # every point a bin of its own: then the points are the seeds, as is right
            warnings.filterwarnings("ignore", message="Binning data failed")
            labels = MeanShift(bandwidth=h, bin_seeding=True, cluster_all=False).fit(points).labels_
    members = np.bincount(labels[labels >= 0], minlength=1)
    return torch.from_numpy(labels == members.argmax())


def bandwidth(points: np.ndarray) -> float:
    """Mean distance of the points to their floor(n / 2)-th nearest point, at least the first, which is itself.

    What scikit-learn's `estimate_bandwidth` with quantile 0.5 is up to rounding; from differences, so that points that
    coincide have distance 0.
    """
    k = max(len(points) // 2, 1)
    chunks = np.array_split(points, len(points) // 1000 + 1)
    return float(np.concatenate([np.partition(cdist(c, points), k - 1, axis=1)[:, k - 1] for c in chunks]).mean())
