"""Numbers exactly on a published limit: which side of it is taken."""

from __future__ import annotations

import pytest

import fedward as fw

CASES = {
    "centered-clipping": {"radius": ([1e-9], [0.0, -1.0]), "iterations": ([1], [0])},
    "fedseca": {"momentum": ([0.0, 0.999], [-0.001, 1.0]), "sparsity": ([0.0, 1.0], [-0.001, 1.001])},
    "fldetector": {"window": ([1], [0]), "clusters": ([2], [1]), "momentum": ([0.0, 0.999], [-0.001, 1.0])},
    "huber": {"threshold": ([1e-9], [0.0])},
    "sign-guard": {"fraction": ([1e-9, 1.0], [0.0, 1.001])},
    "siren": {"threshold": ([0.0, 1.0], [-0.001, 1.001]), "penalty": ([0.0], [-0.001]), "award_by": ([0.0], [-0.001])},
    "class-wise": {"decay": ([0.0, 1.0], [-0.001, 1.001]), "gamma": ([0.0, 0.999], [-0.001, 1.0])},
}


@pytest.mark.parametrize(("name", "parameter"), [(name, p) for name, limits in CASES.items() for p in limits])
def test_a_number_on_its_limit(name: str, parameter: str) -> None:
    taken, refused = CASES[name][parameter]
    entry = next(entry for entry in fw.catalogue("rule") if entry.name == name)
    for value in taken:
        assert getattr(entry.build(**{parameter: value}), parameter) == value
    for value in refused:
        with pytest.raises(ValueError, match=parameter):
            entry.build(**{parameter: value})
