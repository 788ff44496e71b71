"""Every attack beside its oracle, or the file whose tests hold it against one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks
from tests.oracles import attacks as oracle
from tests.oracles import attacks_over_time as over_time
from tests.oracles import attacks_tailored as tailored

Oracle = Callable[[np.ndarray, np.ndarray], np.ndarray]
CONTEXT = fw.Context(round=2, seed=5)
DIRECTIONS = {"std": "sd", "unit": "unit", "sign": "sign"}
KNOWN: dict[str, Oracle] = {
    "honest": lambda H, own: H,
    "all": lambda H, own: np.concatenate([H, own]),
    "own": lambda H, own: own,
}


def noise(own: np.ndarray) -> np.ndarray:
    return torch.randn(own.shape, generator=CONTEXT.generator("noise"), dtype=torch.float64).numpy()


def draws(own: np.ndarray) -> np.ndarray:
    return torch.rand(own.shape, generator=CONTEXT.generator("draws"), dtype=torch.float64).numpy()


def jittered(own: np.ndarray, value: float, jitter: float = 0.05) -> np.ndarray:
    """What each byzantine client drew, once for all rounds."""
    lasting = fw.Context(round=0, seed=CONTEXT.seed)
    u = [torch.rand((), generator=lasting.generator(f"jitter of {i}"), dtype=torch.float64) for i in range(len(own))]
    return value - jitter + 2 * jitter * np.array(u)


def previous(d: int) -> np.ndarray:
    """The server's last step, of any size that the rows do not have."""
    return 3 * np.random.default_rng(77).normal(size=d) - 1


def deviated(G: np.ndarray, m: int, kind: str, gamma: float, ddof: int = 0) -> np.ndarray:
    return oracle.copies(oracle.mean(G) + gamma * oracle.perturbation(G, kind, ddof), m)


def relocated(
    H: np.ndarray, m: int, z: float = 1.0, relocate: float = 1.0, reference: float = 0.9, angle: float = 90.0
) -> np.ndarray:
    """ROP: a + z (sin(angle) p + cos(angle) u / |u|), p the part of (1, ..., 1) orthogonal to u, normalised."""
    last, mean, side = previous(H.shape[1]), oracle.mean(H), np.ones(H.shape[1])
    u = oracle.normalised(reference * last + (1 - reference) * mean)
    p = oracle.normalised(side - float(side @ u) * u) if len(u) > 1 else 0 * u
    turned = np.sin(np.deg2rad(angle)) * p + np.cos(np.deg2rad(angle)) * u
    return oracle.copies(relocate * last + (1 - relocate) * mean + z * turned, m)


def farthest(attack: type, run: Callable[..., np.ndarray]) -> list[tuple[attacks.Attack, Oracle]]:
    """Min-Max or Min-Sum in every direction, with every knowledge and both divisors."""
    return [
        (
            attack(direction=k, ddof=ddof, knows=knows),
            lambda H, own, k=k, ddof=ddof, knows=knows: run(KNOWN[knows](H, own), len(own), DIRECTIONS[k], ddof=ddof),
        )
        for k in DIRECTIONS
        for knows, ddof in (("honest", 0), ("honest", 1), ("all", 0), ("own", 0))
        if k == "std" or ddof == 0
    ]


CASES: dict[str, list[tuple[attacks.Attack, Oracle]]] = {
    "no-attack": [(attacks.NoAttack(), lambda H, own: own)],
    "label-flip": [
        (attacks.LabelFlip(), lambda H, own: own),
        (attacks.LabelFlip(source=1, target=2), lambda H, own: own),
    ],
    "targeted-poisoning": [
        (
            attacks.TargetedPoisoning(boost=b),
            lambda H, own, b=b: oracle.attack_model_replacement(own, len(H), len(own), b),
        )
        for b in (None, 2.0)
    ],
    "backdoor": [
        (attacks.Backdoor(boost=b), lambda H, own, b=b: oracle.attack_model_replacement(own, len(H), len(own), b))
        for b in (None, 0.5)
    ],
    "random": [
        (attacks.Random(), lambda H, own: oracle.attack_random(noise(own))),
        (attacks.Random(std=2.0, mean=-1.0), lambda H, own: oracle.attack_random(noise(own), -1.0, 2.0)),
    ],
    "gaussian": [
        (attacks.Gaussian(), lambda H, own: oracle.attack_gaussian(noise(own))),
        (attacks.Gaussian(std=0.1), lambda H, own: oracle.attack_gaussian(noise(own), 0.1)),
    ],
    "noise": [(attacks.Noise(std=0.7), lambda H, own: oracle.attack_noise(own, noise(own), 0.7))],
    "constant": [
        (attacks.Constant(), lambda H, own: oracle.attack_constant(*own.shape)),
        (attacks.Constant(value=-0.3), lambda H, own: oracle.attack_constant(*own.shape, -0.3)),
    ],
    "zero": [(attacks.Zero(), lambda H, own: oracle.attack_zero(*own.shape))],
    "non-finite": [
        (attacks.NonFinite(), lambda H, own: oracle.attack_nan(*own.shape)),
        (attacks.NonFinite(value="inf"), lambda H, own: oracle.attack_inf(*own.shape)),
        (attacks.NonFinite(value="-inf"), lambda H, own: -oracle.attack_inf(*own.shape)),
    ],
    "sign-flip": [(attacks.SignFlip(scale=c), lambda H, own, c=c: oracle.attack_sign_flip(own, c)) for c in (1, 3.0)],
    "scaling": [
        (attacks.Scaling(factor=c), lambda H, own, c=c: oracle.attack_model_replacement(own, len(H), len(own), c))
        for c in (10.0, 0.5, 0.0, None)
    ],
    "free-rider": [(attacks.FreeRider(), lambda H, own: over_time.attack_free_rider(previous(own.shape[1]), len(own)))],
    "alie": [
        (attacks.ALIE(), lambda H, own: oracle.attack_lie(H, len(own))),
        (attacks.ALIE(z=1.5, ddof=1), lambda H, own: oracle.attack_lie(H, len(own), 1.5, 1)),
        (attacks.ALIE(z=-0.5), lambda H, own: oracle.attack_lie(H, len(own), -0.5)),
        *(
            (attacks.ALIE(knows=k), lambda H, own, k=k: oracle.attack_lie(KNOWN[k](H, own), len(own)))
            for k in ("all", "own")
        ),
        (
            attacks.ALIE(z=1.0, ddof=1, knows="all"),  # SignGuard's code
            lambda H, own: oracle.attack_lie(KNOWN["all"](H, own), len(own), 1.0, 1),
        ),
        (
            attacks.ALIE(z=-1.0, jitter=0.05, ddof=1, knows="all"),  # FedSECA's code, on updates
            lambda H, own: oracle.attack_lie_each(KNOWN["all"](H, own), jittered(own, -1.0), 1),
        ),
        (attacks.ALIE(jitter=0.3), lambda H, own: oracle.attack_lie_each(H, jittered(own, 0.3, 0.3))),
        (
            attacks.ALIE(z=None),
            lambda H, own: oracle.attack_lie(H, len(own), oracle.lie_zmax(len(H) + len(own), len(own))),
        ),
    ],
    "ipm": [
        (
            attacks.IPM(epsilon=1.3, jitter=0.05, knows="all"),  # FedSECA's code
            lambda H, own: oracle.attack_ipm_each(KNOWN["all"](H, own), jittered(own, 1.3)),
        ),
        *(
            (attacks.IPM(epsilon=e, knows=k), lambda H, own, e=e, k=k: oracle.attack_ipm(KNOWN[k](H, own), len(own), e))
            for e, k in ((0.1, "honest"), (1.3, "honest"), (0.5, "all"), (0.5, "own"), (-2.0, "honest"))
        ),
    ],
    "byz-mean": [
        *(
            (attacks.ByzMean(split=s), lambda H, own, s=s: oracle.attack_byzmean(H, len(own), split=s))
            for s in (0.0, 0.5, 0.8, 1.0)
        ),
        (
            attacks.ByzMean(inner=attacks.MinMax(), split=0.5),
            lambda H, own: oracle.attack_byzmean(H, len(own), oracle.attack_min_max(H, 1)[0]),
        ),
        (
            attacks.ByzMean(inner=attacks.ALIE(knows="all")),
            lambda H, own: oracle.attack_byzmean(H, len(own), oracle.attack_lie(KNOWN["all"](H, own), 1)[0]),
        ),
        (attacks.ByzMean(inner=attacks.SignFlip()), lambda H, own: oracle.attack_byzmean(H, len(own), -own[0])),
    ],
    "min-max": farthest(attacks.MinMax, oracle.attack_min_max),
    "min-sum": farthest(attacks.MinSum, oracle.attack_min_sum),
    "deviation": [
        (
            fw.build("fang", jitter=0.05, knows="all"),  # FedSECA's code
            lambda H, own: tailored.attack_fang_fedseca(KNOWN["all"](H, own), jittered(own, 0.1)),
        ),
        (fw.build("fang"), lambda H, own: tailored.attack_fang_fedseca(H, [0.1] * len(own))),
        *(
            (
                attacks.Deviation(direction=k, gamma=g, ddof=ddof, knows=knows),
                lambda H, own, k=k, g=g, ddof=ddof, knows=knows: deviated(
                    KNOWN[knows](H, own), len(own), DIRECTIONS[k], g, ddof
                ),
            )
            for k, g, ddof, knows in (
                ("std", 1.0, 0, "honest"),
                ("std", 2.0, 1, "all"),
                ("unit", 5.0, 0, "honest"),
                ("unit", 0.3, 0, "own"),
                ("sign", 0.5, 0, "honest"),
                ("sign", -0.5, 0, "all"),
            )
        ),
    ],
    "rop": [
        (attacks.ROP(**given), lambda H, own, given=given: relocated(H, len(own), **given))
        for given in (
            {},
            {"z": 5.0, "angle": 180.0},
            {"z": -2.0, "relocate": 0.0, "angle": 30.0},
            {"relocate": 0.4, "reference": 0.0},
            {"reference": 1.0, "angle": 270.0},
        )
    ],
    "fang-krum": [
        (attacks.FangKrum(), lambda H, own: tailored.attack_fang_krum(H, len(own))[0]),
        (attacks.FangKrum(knows="own"), lambda H, own: tailored.attack_fang_krum(own, len(own), partial=True)[0]),
    ],
    "fang-trimmed-mean": [
        (attacks.FangTrimmedMean(), lambda H, own: tailored.attack_fang_trmean(H, draws(own))),
        (attacks.FangTrimmedMean(b=1.0), lambda H, own: tailored.attack_fang_trmean(H, draws(own), 1.0)),
        (attacks.FangTrimmedMean(b=5.0), lambda H, own: tailored.attack_fang_trmean(H, draws(own), 5.0)),
        (attacks.FangTrimmedMean(knows="own"), lambda H, own: tailored.attack_fang_trmean_partial(own, draws(own))),
    ],
}
ELSEWHERE = {  # those of many calls or many parts, by the file below tests/attacks that compares them
    "mimic": "test_over_time.py",
    "poisonedfl": "test_over_time.py",
    "repeat": "test_repeat.py",
    "schedule": "test_schedule.py",
    "random-schedule": "test_schedule.py",
    "groups": "test_schedule.py",
    "sybils": "test_schedule.py",
    "false-alarms": "test_schedule.py",
    "silent-alarms": "test_schedule.py",
    "virtual": "test_virtual.py",
    "maximise": "test_adaptive.py",
    "tailored-min-max": "test_tailored.py",
    "tailored-min-sum": "test_tailored.py",
}
ORACLES = [pytest.param(attack, run, id=repr(attack)) for cases in CASES.values() for attack, run in cases]
EXAMPLES = [pytest.param(entry.build(), id=entry.name) for entry in fw.catalogue("attack") if entry.name in ELSEWHERE]
