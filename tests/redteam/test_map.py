"""The map of rules against attacks: what ruins a single rule stands to the left."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fedward.redteam import Examination, Finding
from fedward.report.redteam import write_examinations


def examined(rule: str, **kappas: float) -> Examination:
    findings = [
        Finding(attack=attack.replace("_", "-"), kappa=kappa, progress=1.0, byzantine_accepted=0.0, honest_accepted=1.0)
        for attack, kappa in kappas.items()
    ]
    settings = {"rule": rule, "clients": 10, "byzantine": 2, "rounds": 3}
    settings |= {"data": "fashion-mnist-subset", "model": "linear", "partition": "iid"}
    return Examination(settings=settings, findings=tuple(findings), untouched=None)


def test_an_attack_that_ruins_one_rule_is_not_behind_those_that_harm_all_a_little(tmp_path: Path) -> None:
    examinations = [
        examined("median", alie=0.3, min_max=0.2, sign_flip=0.0),
        examined("mean", alie=0.3, min_max=0.2, sign_flip=9.0),
    ]
    page = write_examinations(examinations, {}, tmp_path / "map.html").read_text(encoding="utf-8")
    (kinds,) = re.findall(r'"x": ?(\[[^]]*"sign-flip"[^]]*\])', page)
    assert json.loads(kinds) == ["sign-flip", "alie", "min-max"]
