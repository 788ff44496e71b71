"""The SignGuard family: sign statistics of each row, clustered (Xu, Huang, Song & Lan, 2022)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from ..core import Context, Plan, Reason, Rule, State, Traits, finite_copy, median_of
from ..registry.bounds import Above, AtMost, NotNegative
from ..registry.entries import register
from ..registry.parameters import Variant
from ..stack import Distances, Dots, Gram, Sample, SignCounts, SqNorms, Statistic, Updates, cosines_to
from .distance import krum_scores
from .meanshift import mean_shift
from .mixers import clip_factors
from .twomeans import larger_of_two

# The distance feature of a row that is farther than the median, and the greatest similarity feature.
_FEATURE = 0.2
# A norm this close to a bound, relative to it, is on the bound; so is a sum of distances.
_SLACK = 1e-12
# A squared distance to a reference is known up to this share of both squared lengths.
_ROUNDING = 1e-14
# Similarities in memory at once.
_ROOM = 2**24


@register("sign-guard", paper="Xu et al. 2022", complexity="O(n d + n^2)")
@dataclass(frozen=True, kw_only=True)
class SignGuard(Rule):
    """Average, clipped, of the rows of ordinary length in the largest cluster of sign statistics.

    1. M = median norm; S1 = {i : lower <= |x_i| / M <= upper}.
    2. Features of a row: its shares of positive, zero and negative entries, on a random tenth of the columns.
    3. Mean-Shift on the features; S2 = the largest cluster. Trusted: S1 and S2 both.
    4. Output: mean over the trusted of x_i min(1, M / |x_i|). Nobody trusted: the zero vector.

    Xu, Huang, Song & Lan, "Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering",
    ICDCS 2022, Algorithm 2; the arXiv version's pseudo-code does not clip (``clip=False``). It does not use f.

    The default is the paper. What it leaves open is as in the authors' code: clusters as scikit-learn's MeanShift finds
    them, with the bandwidth that its `estimate_bandwidth` gives at quantile 0.5. A norm that is on a bound but for
    rounding is on it.

    ``variant="official"`` is what the authors' code does instead: strict inequalities in step 1; one contiguous run of
    columns; shares divided by their maximum; the clip radius is the lower median; at most 50 rows, from a fixed
    seed, set the clusters' bandwidth, so that with more clients their order counts; and in -Sim and -Dist the
    differences stated there.

    Use when: f is unknown, less than half of the clients lie, and rows are many enough to form clusters: it judges
    by lengths and by the balance of signs, and compares no pairs of rows, so that it is cheap for large models.

    Args:
        lower, upper: bounds on the norm in units of the median norm; 0 and inf switch the filter off (but for zero
            rows in the official variant, whose bounds are strict).
        fraction: share of the columns whose signs are counted.
        clip: whether rows are clipped to the median norm before they are averaged.
        cluster: whether to cluster; off, only norms decide (the paper's ablation). "2-means" for two clusters in the
            place of Mean-Shift's, of which the larger counts (`larger_of_two`): enough, says the ICDCS version, where
            all byzantine clients send one row. It finds two clusters where there is one as well, so that honest clients
            are dropped in every round.
        variant: "paper" or "official".

    Raises:
        ValueError: parameters out of these bounds.
    """

    lower: NotNegative = 0.1
    upper: NotNegative = 3.0
    fraction: Annotated[float, Above(0), AtMost(1)] = 0.1
    clip: bool = True
    cluster: bool | Literal["2-means"] = True
    variant: Variant = "paper"
    declared = Traits(selects=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lower > self.upper:
            raise ValueError(f"lower <= upper is needed, got lower={self.lower} and upper={self.upper}")

    @property
    def official(self) -> bool:
        """Whether to do as the authors' code does."""
        return self.variant == "official"

    @property
    def sample(self) -> int | None:
        """How many rows at most set the clusters' bandwidth; all if None."""
        return 50 if self.official else None

    def traits(self) -> Traits:
        # Which rows are in the sample depends on their order.
        return self.declared if self.sample is None else self.declared.without("permutation")

    def signs(self, context: Context) -> SignCounts:
        """The sign counts that this rule reads in this round."""
        seed = context.draw_seed("columns")
        return SignCounts(sample=Sample(seed=seed, fraction=self.fraction, contiguous=self.official))

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
        M = median_of(norms)
        too_small, too_large = self._norm_filter(norms, M)
        extra = self.extra_feature(updates, state, context)
        counts = updates.compute(self.signs(context))[0]
        features = counts / counts.sum(1, keepdim=True)
        if self.official:
            features = features / (features.amax(0) + 1e-8)
        if extra is not None:
            # Rounding in a similarity must not tell identical rows apart.
            features = torch.cat([features, extra.round(decimals=12)[:, None]], 1)
        inlier = self._inliers(features)
        trusted = inlier & ~too_small & ~too_large

        radius = median_of(norms, lower=self.official)
        weights = trusted.double() / max(int(trusted.sum()), 1)
        if self.clip:
            weights = weights * clip_factors(norms, radius)
        reasons = [Reason.SIGN_OUTLIER] * updates.n
        for i in too_large.nonzero().flatten().tolist():
            reasons[i] = Reason.NORM_TOO_LARGE
        for i in too_small.nonzero().flatten().tolist():
            reasons[i] = Reason.NORM_TOO_SMALL
        scores = {"norm": norms / M if M > 0 else norms, "positive": features[:, 0]}
        if extra is not None:
            scores["feature"] = extra
        return Plan(updates, weights, scores=scores, reasons=reasons)

    def _inliers(self, features: Tensor) -> Tensor:
        """Which rows are in the cluster that counts: (n,) bool."""
        if self.cluster == "2-means":
            return torch.from_numpy(larger_of_two(features.numpy()))
        if self.cluster:
            return largest_cluster(features, self.sample)
        return torch.ones(len(features), dtype=torch.bool)

    def _norm_filter(self, norms: Tensor, M: float) -> tuple[Tensor, Tensor]:
        """Rows that are too short and too long. If half the rows are zero, only those are of ordinary length."""
        if M == 0:
            return torch.zeros_like(norms).bool(), norms > 0
        ratio = norms / M
        if self.official:
            return ratio <= self.lower * (1 + _SLACK), ratio >= self.upper * (1 - _SLACK)
        return ratio < self.lower * (1 - _SLACK), ratio > self.upper * (1 + _SLACK)


@dataclass(frozen=True, kw_only=True)
class _WithReference(SignGuard):
    """SignGuard with a feature relative to the previous aggregate, or to all rows while there is none."""

    warmup: int | str | None = None
    declared = Traits(selects=True, history=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup is not None:
            warmup_rounds(self.warmup, None)

    @property
    def usual_warmup(self) -> int | str:
        """The warm-up where none is given."""
        return "3 epochs"

    def traits(self) -> Traits:
        return replace(super().traits(), learns=self._rounds(None))  # as many as where nobody knows of epochs

    def _rounds(self, rounds_per_epoch: float | None) -> int:
        """The rounds of the warm-up."""
        return warmup_rounds(self.usual_warmup if self.warmup is None else self.warmup, rounds_per_epoch)

    def reference(self, state: State, context: Context) -> Tensor | None:
        """The previous aggregate, after the warm-up."""
        late = context.round >= self._rounds(context.rounds_per_epoch)
        return state.get("reference") if late else None

    def extra_statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        reference = self.reference(state, context)
        return (Gram(),) if reference is None else (Dots(rows=reference),)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"reference": finite_copy(output)}


def warmup_rounds(warmup: int | str, rounds_per_epoch: float | None) -> int:
    """A warm-up in rounds: a number of them, or "3 epochs"; an epoch is one round where that is all one knows.

    Raises:
        ValueError: anything else, or none at all: the first round has no previous aggregate.
    """
    if isinstance(warmup, int) and not isinstance(warmup, bool) and warmup >= 1:
        return warmup
    epochs = re.fullmatch(r"(\d+(?:\.\d+)?) *epochs?", warmup.strip()) if isinstance(warmup, str) else None
    if epochs is None or float(epochs[1]) == 0:
        raise ValueError(
            f"warmup is a number of rounds, a whole number of at least 1, or of epochs, above 0 and written like "
            f'"3 epochs", got {warmup!r}'
        )
    rounds = float(epochs[1]) * (1 if rounds_per_epoch is None else rounds_per_epoch)
    return max(ceil(round(rounds, 6)), 1)  # 3 epochs of a third of a round each are 1 round, whatever floats say


@register("sign-guard-sim", paper="Xu et al. 2022", complexity="O(n d + n^2), O(n^2 d) in the warm-up")
@dataclass(frozen=True, kw_only=True)
class SignGuardSim(_WithReference):
    """SignGuard with the cosine similarity to the previous aggregate as a fourth feature.

    s_i = cos(x_i, previous aggregate), in the warm-up the median over j of cos(x_i, x_j); with m = median of s the
    feature is clip(s_i, 0, m) / (5 m), between 0 and 0.2; all 0 if m <= 0. Xu et al. 2022, section IV.

    ``variant="official"``: in the warm-up the lower median over all j, with 0 for j = i; m is a lower median, too, and
    the feature is clip(s_i, 0, m) / (5 m + 1e-8), where m wins if it is negative.

    Use when: as for `SignGuard`, where forged rows may have ordinary lengths and signs but another direction than
    the last aggregate.

    Args:
        warmup: how long there is no reference: a number of rounds, or a text such as "3 epochs". Epochs are those of
            the clients' samples where they are known, as in a `Simulation`: there 3 epochs of 1,200 samples a client,
            60 a round, are 60 rounds. Elsewhere (`Aggregator`, Flower) an epoch counts as one round: give the number
            of rounds. None is "3 epochs", the paper's and the authors' code's.

    Raises:
        ValueError: parameters out of these bounds.
    """

    def extra_feature(self, updates: Updates, state: State, context: Context) -> Tensor:
        norms = updates.norms()
        reference = self.reference(state, context)
        if reference is None:
            s = typical_cosines(updates.gram(), norms, official=self.official)
        else:
            dots = updates.compute(Dots(rows=reference))[0][:, 0]
            s = cosines_to(dots, norms, updates.share.norm(reference))
        m = median_of(s, lower=self.official)
        if self.official:
            # Of a negative m, m is what clamping leaves of all rows: a constant that is not 0.
            unit = 5 * m + 1e-8
            return s.clamp(0, m) / unit if unit else torch.zeros_like(s)
        return s.clamp(0, m) / (5 * m) if m > 0 else torch.zeros_like(s)


@register("sign-guard-dist", paper="Xu et al. 2022", complexity="O(n d + n^2), O(n^2 d) in the warm-up")
@dataclass(frozen=True, kw_only=True)
class SignGuardDist(_WithReference):
    """SignGuard with the distance from the previous aggregate as a fourth feature.

    score_i = |x_i - previous aggregate|, in the warm-up the sum of squared distances to the max(1, floor(n / 2) - 1)
    nearest rows; the feature is 0 if score_i < the median score, else 0.2. Xu et al. 2022, section IV.

    ``variant="official"``: plain distances in the warm-up; 0.2 from 1.1 times the lower median; every row sets the
    clusters' bandwidth.

    Use when: as for `SignGuard`, where the last aggregate is a fair guess of the next one, so that rows far from it
    stand out.

    Args:
        warmup: as for `SignGuardSim`; None is "3 epochs" as in the paper, and "1 epoch" in the official variant.

    Raises:
        ValueError: parameters out of these bounds.
    """

    @property
    def usual_warmup(self) -> int | str:
        return "1 epoch" if self.official else "3 epochs"

    @property
    def sample(self) -> int | None:
        return None

    def extra_feature(self, updates: Updates, state: State, context: Context) -> Tensor:
        reference = self.reference(state, context)
        near = self._central(updates) if reference is None else self._near(updates, reference)
        return (~near).double() * _FEATURE

    @property
    def _margin(self) -> float:
        """How many times the median a row may be away and still be near."""
        return 1.1 if self.official else 1.0

    def _central(self, updates: Updates) -> Tensor:
        """Which rows are closer than most to the rows around them."""
        neighbours = updates.n // 2 - 1
        if self.official and neighbours < 1:  # what its code sums then is each row's distance from itself
            return torch.zeros(updates.n, dtype=torch.bool)
        sq_dists = Distances(updates.gram()).blocks()
        dists = (block.sqrt() for block in sq_dists) if self.official else sq_dists
        score = krum_scores(dists, updates.n, neighbours)
        bound = self._margin * median_of(score, lower=self.official)
        return score < bound * (1 - _SLACK)

    def _near(self, updates: Updates, reference: Tensor) -> Tensor:
        """Which rows are closer than most to the reference; by squares, whose rounding is known."""
        # Quarters, so that lengths up to the largest float64 can be added.
        (square,) = updates.share.total((reference.double() / 2).square().sum().cpu())
        lengths = (updates.norms() / 2).square() + square
        squares = (lengths - updates.compute(Dots(rows=reference))[0][:, 0] / 2).clamp_min(0)
        bound = self._margin**2 * median_of(squares, lower=self.official)
        return squares < bound - _ROUNDING * lengths


def typical_cosines(gram: Tensor, norms: Tensor, *, official: bool = False) -> Tensor:
    """Median over the other rows of the cosine with each: (n,), 1 for a lone row.

    ``official``: the lower median over all rows, with 0 for the row itself.
    """
    n = len(norms)
    if n == 1 and not official:
        return torch.ones(1, dtype=torch.float64)
    # The places of the median among the ranked cosines of a row: two, which are one where it is the lower one's.
    count = n if official else n - 1
    lower = (count - 1) // 2
    middle = [lower, lower if official else count // 2]
    typical = []
    for rows in torch.arange(n).chunk(n * n // _ROOM + 1):
        cosines = cosines_to(gram[rows], norms[rows, None], norms)
        cosines[torch.arange(len(rows)), rows] = 0.0 if official else torch.inf  # the last of all, so not in the middle
        typical.append(np.partition(cosines.numpy(), middle, axis=1)[:, middle].mean(1))
    return torch.from_numpy(np.concatenate(typical))


def largest_cluster(features: Tensor, sample: int | None = None) -> Tensor:
    """Which rows are in the most populous cluster: (n,) bool. Of clusters of one size the first, see `mean_shift`."""
    labels = mean_shift(features.numpy(), sample)
    members = np.bincount(labels[labels >= 0])
    return torch.from_numpy(labels == members.argmax())
