"""Draw the README's picture, rules by attacks: the last accuracy of every run of results/behaviour.

``python scripts/draw_answer.py`` writes docs/assets/answer.svg. Written by hand, without a library: forty rectangles,
which are to be read on light and on dark pages.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "results" / "behaviour" / "runs.json"
PICTURE = ROOT / "docs" / "assets" / "answer.svg"

RULES = {
    "mean": "Mean",
    "median": "Median",
    "krum": "Krum",
    "fedseca": "FedSECA",
    "sign-guard-sim:warmup=60": "SignGuardSim",
    "sign-guard": "SignGuard",
}
ATTACKS = {
    "no-attack": "no attack",
    "sign-flip": "SignFlip",
    "scaling": "Scaling",
    "alie": "ALIE",
    "min-max": "MinMax",
    "min-sum": "MinSum",
    "byz-mean": "ByzMean",
}
LEFT, TOP, WIDE, HIGH = 118, 62, 84, 34
WORST, BEST = 10.0, 84.0  # per cent: a guess, and Mean without attack

# Dark to light to blue, so that neither colour blindness nor a grey printer hides who fell.
LOW, MIDDLE, HIGH_END = (179, 45, 38), (246, 233, 206), (36, 99, 165)


def colour(accuracy: float) -> tuple[int, int, int]:
    """From red at a guess over sand to blue at the best."""
    share = min(1.0, max(0.0, (accuracy - WORST) / (BEST - WORST)))
    start, end = (LOW, MIDDLE) if share < 0.5 else (MIDDLE, HIGH_END)
    along = 2 * share if share < 0.5 else 2 * share - 1
    red, green, blue = (round(a + along * (b - a)) for a, b in zip(start, end, strict=True))
    return red, green, blue


def cell(row: int, column: int, accuracy: float) -> str:
    """A rectangle and its number."""
    x, y = LEFT + column * WIDE, TOP + row * HIGH
    fill = colour(accuracy)
    ink = "#fff" if 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] < 140 else "#222"
    return (
        f'<rect x="{x}" y="{y}" width="{WIDE - 3}" height="{HIGH - 3}" rx="3" fill="#{bytes(fill).hex()}"/>'
        f'<text x="{x + (WIDE - 3) / 2}" y="{y + 20}" text-anchor="middle" style="fill:{ink}">{accuracy:.1f}</text>'
    )


def picture(runs: dict[str, dict[str, float]]) -> str:
    """The whole file."""
    across, down = LEFT + len(ATTACKS) * WIDE, TOP + len(RULES) * HIGH + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {down}" width="{across}" height="{down}" '
        'role="img" aria-label="Accuracy at the end of a training, rules by attacks">',
        "<style>text{font:14px system-ui,sans-serif;fill:#222}.soft{fill:#666}"
        "@media (prefers-color-scheme:dark){text{fill:#ddd}.soft{fill:#aaa}}</style>",
        f'<text x="{LEFT}" y="18" class="soft">Accuracy (%) at the end, 10 of 50 clients play the attack</text>',
    ]
    for column, name in enumerate(ATTACKS.values()):
        x = LEFT + column * WIDE + (WIDE - 3) / 2
        parts.append(f'<text x="{x}" y="{TOP - 12}" text-anchor="middle">{escape(name)}</text>')
    for row, (rule, name) in enumerate(RULES.items()):
        parts.append(f'<text x="{LEFT - 10}" y="{TOP + row * HIGH + 20}" text-anchor="end">{escape(name)}</text>')
        for column, attack in enumerate(ATTACKS):
            parts.append(cell(row, column, 100 * runs[f"{rule} under {attack}"]["final_accuracy"]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    PICTURE.write_text(picture(json.loads(RUNS.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
