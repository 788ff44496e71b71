"""ROP against its oracle, and what makes it work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.stack import Dense, materialise
from tests.oracles import attacks_over_time as oracle


def forge(attack: attacks.Attack, honest: torch.Tensor, own: torch.Tensor, last: torch.Tensor | None) -> np.ndarray:
    return materialise(
        attack.forge(View(honest=Dense(honest, block=7), own=Dense(own), context=fw.Context(round=3), previous=last))
    ).numpy()


def rows(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    honest, own = (0.3 + torch.randn(k, 40, generator=generator, dtype=torch.float64) for k in (9, 3))
    return honest, own, torch.randn(40, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"z": 3.0, "relocate": 0.5}, {"reference": 0.0, "angle": 180.0}, {"relocate": 0.0, "angle": 270.0}],
)
def test_equals_its_oracle(first: bool, arguments: dict[str, float]) -> None:
    honest, own, last = rows()
    wanted = {("degrees" if k == "angle" else k): v for k, v in arguments.items()}
    expected = oracle.attack_rop(honest.numpy(), 3, None if first else last.numpy(), **wanted)
    np.testing.assert_allclose(
        forge(attacks.ROP(**arguments), honest, own, None if first else last), expected, atol=1e-9
    )


def test_without_z_it_is_that_of_alie() -> None:
    honest, own, last = rows()
    z = attacks.forge.alie_z(12, 3)
    np.testing.assert_allclose(
        forge(attacks.ROP(z=None), honest, own, last), forge(attacks.ROP(z=z), honest, own, last), rtol=1e-12
    )
    with pytest.raises(ValueError, match="z_max is"):
        attacks.ROP(z=None)(honest[:1], own)


def test_rows_are_z_away_from_the_last_step_and_square_to_it() -> None:
    """What centered clipping with a radius above z never clips, and what no step of its goes against."""
    honest, own, last = rows()
    sent = torch.from_numpy(forge(attacks.ROP(z=1.9, reference=1.0), honest, own, last))
    assert (sent - last).norm(dim=1).tolist() == pytest.approx([1.9] * 3)
    assert ((sent - last) @ last).tolist() == pytest.approx([0.0] * 3, abs=1e-9)


@pytest.mark.parametrize("bad", [{"relocate": 1.5}, {"reference": -0.1}])
def test_shares_have_bounds(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is a number from 0 to 1, got"):
        attacks.ROP(**bad)
