"""Parameters that each byzantine client has its own of: drawn once, within their bounds, at no more cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.attacks.forge import deviation
from fedward.stack import Dense, materialise

H, M, D = 8, 5, 60
JITTERED: dict[str, tuple[attacks.Attack, str]] = {
    "alie": (attacks.ALIE(), "z"),
    "ipm": (attacks.IPM(), "epsilon"),
    "deviation-std": (attacks.Deviation(), "gamma"),
    "deviation-unit": (attacks.Deviation(direction="unit"), "gamma"),
    "fang": (fw.build("fang"), "gamma"),
}


def view(seed: int = 0, round: int = 0, ids: list[object] | None = None) -> View:
    rng = np.random.default_rng(3)
    common = rng.normal(size=D)
    honest, own = (torch.from_numpy(common + rng.normal(size=(k, D))) for k in (H, M))
    return View(
        honest=Dense(honest, block=16),
        own=Dense(own, block=16, ids=ids),
        context=fw.Context(round=round, seed=seed),
    )


def values(attack: attacks.Attack, over: str, seen: View) -> torch.Tensor:
    """The parameter of each row, from rows of two parameters: every one of these attacks is linear in it."""
    none, one = (materialise(replace(attack, **{over: v}).forge(seen))[0] for v in (0.0, 1.0))
    sent = materialise(replace(attack, jitter=0.05).forge(seen))
    along = one - none
    found = (sent - none) @ along / (along @ along)
    torch.testing.assert_close(sent, none + found[:, None] * along)
    return found


@pytest.mark.parametrize("name", JITTERED)
def test_rows_differ_within_the_bounds(name: str) -> None:
    attack, over = JITTERED[name]
    found = values(attack, over, view())
    asked = getattr(attack, over)
    assert len(set(found.tolist())) == M
    assert float((found - asked).abs().max()) <= 0.05 + 1e-9
    every = torch.cat([values(attack, over, view(seed)) for seed in range(40)]) - asked
    assert float(every.min()) < -0.045
    assert float(every.max()) > 0.045
    assert abs(float(every.mean())) < 0.01


@pytest.mark.parametrize("name", JITTERED)
def test_a_client_keeps_what_it_drew(name: str) -> None:
    """In all rounds, and in whatever order clients come; another seed draws anew."""
    attack, over = JITTERED[name]
    ids: list[object] = ["a", "b", 7, 8, "e"]
    first = values(attack, over, view(ids=ids))
    assert torch.equal(first, values(attack, over, view(round=4, ids=ids)))
    torch.testing.assert_close(values(attack, over, view(round=1, ids=ids[::-1])), first.flip(0))
    assert not torch.equal(first, values(attack, over, view(seed=1, ids=ids)))


@pytest.mark.parametrize("name", JITTERED)
def test_without_a_jitter_all_send_one_row(name: str) -> None:
    attack, _ = JITTERED[name]
    sent = materialise(attack.forge(view()))
    torch.testing.assert_close(sent, sent[:1].expand_as(sent), rtol=1e-14, atol=1e-14)
    assert torch.equal(sent, materialise(replace(attack, jitter=0.0).forge(view(seed=5, round=2))))


@pytest.mark.parametrize("name", JITTERED)
def test_it_costs_no_pass(name: str) -> None:
    attack, _ = JITTERED[name]
    plain, other = view(), view()
    materialise(attack.forge(plain))
    materialise(replace(attack, jitter=0.05).forge(other))
    assert other.honest.columns_read == plain.honest.columns_read


def test_a_negative_jitter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"jitter is a number of at least 0, got -0\.1"):
        attacks.ALIE(jitter=-0.1)


def test_the_sign_of_the_rows_is_that_of_z() -> None:
    """mean - z sd of gradients is mean + z sd of the updates that they make, which FedSECA's recipe is about."""
    seen = view()
    turned = View(honest=seen.honest.mix(-torch.eye(H)), own=seen.own.mix(-torch.eye(M)), context=seen.context)
    recipe = {"ddof": 1, "knows": "all"}
    gradients = materialise(attacks.ALIE(z=1.0, **recipe).forge(seen))
    torch.testing.assert_close(materialise(attacks.ALIE(z=-1.0, **recipe).forge(turned)), -gradients)
    assert not torch.allclose(materialise(attacks.ALIE(z=1.0, **recipe).forge(turned)), -gradients)
    for odd in (attacks.IPM(epsilon=1.3, knows="all"), fw.build("fang", knows="all")):
        torch.testing.assert_close(materialise(odd.forge(turned)), -materialise(odd.forge(seen)))


def test_a_deviation_whose_squares_overflow_is_known() -> None:
    """Float32 rows of 1e20 are finite, and so is their deviation; what is not finite stays so."""
    huge = torch.tensor([[1e20, 1.0], [-1e20, 2.0], [3e20, 3.0]])
    assert torch.allclose(deviation(huge), huge.double().std(0, correction=0).float())
    assert torch.equal(deviation(huge[:, 1:]), deviation(huge)[1:])
    assert not deviation(torch.tensor([[float("inf")], [1.0]])).isfinite().any()
