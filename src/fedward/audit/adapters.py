"""LoRA adapters: what a client changed is the products of its factors, which are never multiplied out.

The change of a layer is s B A, B of shape (out, r) and A of shape (r, in). Clients' ranks may differ, and (B R, R^-1 A)
is the same change whatever R is, so that nothing can be told from factors by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from ..failures import tamed
from ..stack.entries import Flat, UnfitError

_ENDINGS = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_A.default.weight": "A",
    ".lora_B.default.weight": "B",
    ".lora_embedding_A": "A of an embedding",
    ".lora_embedding_B": "B of an embedding",
}

# Settings of PEFT, which it has in every file: where one is on, a layer changes by something else than s B A.
_NO_PRODUCTS = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "target_parameters",
)
# Where factors may start from. Others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take what they start from out of the model.
_STARTS = (True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """The change of one layer, scale * B @ A.

    Attributes:
        A: (r, in), whatever the layer's shape is.
        B: (out, r).
        scale: lora_alpha / r, or lora_alpha / sqrt(r) with rank-stabilised scaling.
        shapes: of both as they were sent, without the rank: what a convolution's kernel has beside it.
        names: of both, as they were sent.
    """

    A: Tensor
    B: Tensor
    scale: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    names: tuple[str, str]

    @property
    def rank(self) -> int:
        """r."""
        return self.A.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the change: (out, in)."""
        return self.B.shape[0], self.A.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """One client's adapter.

    Attributes:
        layers: factors by the name of the layer.
        plain: tensors that are trained whole, by name.
        settings: its configuration.
    """

    layers: Mapping[str, Factors]
    plain: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def is_finite(self) -> bool:
        """Whether every number in it is."""
        return not self.nonfinite()

    def nonfinite(self) -> list[str]:
        """Names of the tensors with NaN or Inf."""
        factors = {name: t for f in self.layers.values() for name, t in zip(f.names, (f.A, f.B), strict=True)}
        return [name for name, tensor in {**factors, **self.plain}.items() if not Flat(tensor).isfinite()]


def adapter_of(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Adapter:
    """Factors put together as a configuration says.

    Raises:
        UnfitError: it is no LoRA adapter, or factors do not go together.
    """
    if str(settings.get("peft_type", "LORA")).upper() != "LORA":
        raise UnfitError(ValueError, f"is an adapter of type {tamed(settings['peft_type'], 40)}; LORA is known")
    for key in _NO_PRODUCTS:
        if settings.get(key):
            raise UnfitError(ValueError, f"has {key}: what it changes is no product of its factors")
    start = settings.get("init_lora_weights", True)
    if start is not None and start not in _STARTS:
        raise UnfitError(
            ValueError,
            f"has init_lora_weights {tamed(start, 40)}, which changes the model beneath as well; save it with "
            "path_initial_model_for_weight_conversion",
        )
    halves: dict[str, dict[str, tuple[str, Tensor]]] = {}
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
        if ending is None:
            plain[name] = tensor
        else:
            halves.setdefault(name.removesuffix(ending), {})[_ENDINGS[ending]] = (name, tensor)
    if not halves:
        raise UnfitError(ValueError, "has no LoRA factors: names that end in lora_A.weight and lora_B.weight")
    if twice := sorted(halves.keys() & plain.keys()):
        raise UnfitError(ValueError, f"has {tamed(twice[0])} both whole and as factors")
    layers = {layer: _factors(layer, found, settings) for layer, found in sorted(halves.items())}
    return Adapter(layers=layers, plain=plain, settings=settings)


def odd_kinds(adapters: Mapping[Hashable, Adapter], start: Adapter | None) -> dict[Hashable, UnfitError]:
    """Clients that send whole what others send as factors of the same shape, or the other way, and what that is.

    Args:
        adapters: by client.
        start: the base, which says what is due; else most clients do.
    """
    judges = list(adapters.values()) if start is None else [start]
    as_factors = Counter(name for judge in judges for name in judge.layers)
    as_whole = Counter(name for judge in judges for name in judge.plain)
    found: dict[Hashable, UnfitError] = {}
    for client, adapter in adapters.items():
        for name in adapter.plain:
            if as_factors[name] > as_whole[name]:
                found[client] = UnfitError(ValueError, f"has {tamed(name)} whole, but factors are due")
        for name in adapter.layers:
            if as_whole[name] and as_whole[name] >= as_factors[name]:
                found[client] = UnfitError(ValueError, f"has factors of {tamed(name)}, which is due whole")
    return found


def _factors(layer: str, found: Mapping[str, tuple[str, Tensor]], settings: Mapping[str, Any]) -> Factors:
    shown = tamed(layer)
    if found.keys() not in ({"A", "B"}, {"A of an embedding", "B of an embedding"}):
        raise UnfitError(ValueError, f"{shown} has {' and '.join(sorted(found))}, but A and B are due")
    (a_name, A), (b_name, B) = (found[half] for half in sorted(found))
    for name, factor in ((a_name, A), (b_name, B)):
        if not factor.is_floating_point() or factor.layout != torch.strided or factor.ndim < 2 or not factor.numel():
            what = f"{factor.dtype} of shape {tuple(factor.shape)}"
            raise UnfitError(ValueError, f"{tamed(name)} is {what}; a factor is a matrix of floating-point numbers")
    rank = A.shape[0]
    if B.shape[1] != rank:
        raise UnfitError(ValueError, f"{shown}: A has rank {rank}, B has {B.shape[1]}")
    return Factors(
        A=A.detach().reshape(rank, -1),
        B=B.detach().movedim(1, -1).reshape(-1, rank),
        scale=_scale(layer, rank, settings),
        shapes=(tuple(A.shape[1:]), (B.shape[0], *B.shape[2:])),
        names=(a_name, b_name),
    )


def _scale(layer: str, rank: int, settings: Mapping[str, Any]) -> float:
    alpha = settings.get("lora_alpha", rank)
    pattern = settings.get("alpha_pattern") or {}
    if not isinstance(pattern, Mapping):
        raise UnfitError(ValueError, "alpha_pattern is no mapping of layers to numbers")
    for ending, value in pattern.items():
        # PEFT takes these for regular expressions; a stranger's are not run here.
        if set(ending) & set("^$*+?{}[]()|\\"):
            raise UnfitError(ValueError, f"alpha_pattern has the expression {tamed(ending, 60)}; name layers instead")
        if layer == ending or layer.endswith(f".{ending}"):
            alpha = value
            break
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) <= 1e6:  # nor is NaN
        raise UnfitError(ValueError, f"lora_alpha is {tamed(alpha, 40)}; a number up to a million is due")
    return float(alpha) / (sqrt(rank) if settings.get("use_rslora") else rank)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sum:
    """A weighted sum of products, sum_i weight_i scale_i B_i A_i, as one product of the factors side by side.

    Attributes:
        B: (out, R) with weights and scales in it, R the sum of the ranks, float64.
        A: (R, in), float64.
    """

    B: Tensor
    A: Tensor

    @classmethod
    def of(cls, factors: list[Factors], weights: list[float]) -> Sum:
        """The sum over those whose weight is not 0; of all if there is no other."""
        used = [(f, w) for f, w in zip(factors, weights, strict=True) if w != 0] or [(factors[0], 0.0)]
        return cls(
            B=torch.cat([f.B.double() * (w * f.scale) for f, w in used], 1),
            A=torch.cat([f.A.double() for f, _ in used]),
        )

    def reduced(self, rank: int) -> tuple[Tensor, Tensor, float]:
        """The nearest product of a rank, as B (out, r) and A (r, in), and the share of the squared length that is lost.

        The singular value decomposition of B A follows from that of an R x R matrix: with B = Q_B R_B and
        A^T = Q_A R_A, B A = Q_B (R_B R_A^T) Q_A^T. Both factors get the roots of the singular values (Eckart & Young
        1936). Beyond the rank that the product has, factors are zeros.
        """
        q_b, r_b = torch.linalg.qr(self.B)
        q_a, r_a = torch.linalg.qr(self.A.T)
        U, S, Vh = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
        kept = min(rank, len(S))
        roots = S[:kept].sqrt()
        B = torch.zeros(self.B.shape[0], rank, dtype=torch.float64)
        A = torch.zeros(rank, self.A.shape[1], dtype=torch.float64)
        B[:, :kept] = (q_b @ U[:, :kept]) * roots
        A[:kept] = roots[:, None] * (Vh[:kept] @ q_a.T)
        whole = float(S.square().sum())
        return B, A, float(S[kept:].square().sum()) / whole if whole else 0.0
