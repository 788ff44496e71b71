"""What unlucky users type, and what stands in their configurations: the commands, and what is said to them."""

from __future__ import annotations

SETTING = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": "6",
    "byzantine": "1",
    "rounds": "1",
    "batch-size": "2",
    "attack": "no-attack",
    "rule": "mean",
}


def run(**options: str) -> list[str]:
    given = {**SETTING, **{key.replace("_", "-"): value for key, value in options.items()}}
    return ["run", *(word for key, value in given.items() for word in (f"--{key}", value))]


REFUSED: dict[str, tuple[list[str], str]] = {
    **{f"device {d!r}": (run(device=d), f"device {d!r} cannot be used") for d in ("tpu", "cuda", "", "cuda:99")},
    **{f"lr {lr}": (run(lr=lr), "lr is a number above 0 and of at most 3e+38") for lr in ("1e308", "inf", "1e39")},
    "lr of text": (run(server="sgd:lr=1e300"), "of at most 3e+38"),
    "lr of Adam": (run(server="fed-adam:lr=inf"), "of at most 3e+38"),
    **{f"weight decay {w}": (run(weight_decay=w), "from 0 to 3e+38") for w in ("1e308", "inf")},
    **{f"seed {s}": (run(seed=str(s)), "less than 18446744073709551616") for s in (2**64, 10**100)},
    "seed of a partition": (["data", "show", "fashion-mnist-subset", "--seed", str(2**64)], "is not in the range"),
    "threads -1": (run(threads="-1"), "is not in the range x>=1"),
    "participation": (run(participation="1e-300"), "needs n >= 1 clients, got 0"),
    **{f"rule {r}": (run(rule=r), f"cannot import '{r}'") for r in ("..", ".", "a..b", ".x")},
    "attack for a rule": (run(rule="class-wise:base=alie"), "base is a rule"),
    "attack for a client": (run(algorithm="siren-client:inner=alie"), "inner is a client algorithm"),
    "label of a class": (run(attack="targeted-poisoning:source=99"), "label 99 is not one of the 10 classes"),
    "label to be": (run(attack="targeted-poisoning:label=99"), "label 99 is not one of the 10 classes"),
    "label flipped": (run(attack="label-flip:source=99,target=1"), "label 99 is not one of the 10 classes"),
    "backdoor": (run(attack="backdoor:label=99"), "label 99 is not one of the 10 classes"),
    "classes": (run(partition="k-classes:k=99"), "k must lie between"),
    "endless classes": (run(partition="k-classes:k=inf"), "k is a whole number"),
    "nobody's home": (run(data="mnist", data_path="~nosuchuser/x"), "is not a folder"),
    "iterations": (run(rule="dnc:iterations=1000000000"), "from 1 to 10000"),
    "iterations of a median": (run(rule="geometric-median:iterations=1000000000"), "from 1 to 10000"),
    "clients": (run(clients="1000000000"), "less than or equal to 1000000"),
    "clients shown": (["data", "show", "fashion-mnist-subset", "--clients", "1000000000"], "use at most 10000 clients"),
    "a client more than samples": (run(clients="10001"), "use at most 10000 clients"),
    "digits": (run(byzantine="9" * 5000), "no clients of more than 9 digits"),
    "nobody attacks": (["redteam", "--rule", "mean", "--byzantine", "0"], "nothing to examine; take 1 at least"),
    "captured": (["redteam", "--rule", "mean", "--captured", "1000000000"], "is not in the range 1<=x<=1000"),
    "a word for a flag": (run(rule="sign-guard:clip=no"), "clip is true or false"),
    "a number for a flag": (run(rule="sign-guard:clip=0"), "clip is true or false"),
    "nested": (run(rule="class-wise:base=(" * 1000 + "mean" + ")" * 1000), "nested more than 50 deep"),
    "nested without brackets": (run(rule="class-wise:base=" * 1000 + "mean"), "nested more than 50 deep"),
    "a long chain": (run(rule=" >> ".join(["nnm:f=1"] * 1000 + ["mean"])), "nested more than 50 deep"),
    "long": (run(rule="x" * 10**5), "a text of 100,000 characters"),
    "a long name": (run(rule="x" * 19_000), "unknown rule 'xxx"),
    "brackets": (run(rule="krum:f=" + "[" * 5000 + "]" * 5000), "f is a whole number"),
    "hyphens": (run(rule="krum:f=" + "-" * 15_000 + "1"), "f is a whole number"),
    "null": (run(out="a\0b"), "null character"),
    "markup for a command": (["[/x]"], "No such command"),
    "markup for a choice": (["list", "[/x]"], "unknown list"),
    "markup for a rule": (run(rule="[/x]"), "unknown rule '[/x]'"),
    "markup for data": (run(data="[/x]"), "unknown data set '[/x]'"),
    "markup for a file": (["report", "[/x]"], "[/x]: no such run folder"),
    "a device for a file": (["run", "--config", "/dev/zero"], "not a regular file"),
}
"""Command lines that cannot be, and what is said."""

TOML = {
    "nested": ("rule = " + "[" * 100_000, "nested too deeply"),
    "keys in keys": ("a" + ".a" * 20_000 + " = 1", "nested too deeply"),
    "tables in tables": ("[a" + ".a" * 20_000 + "]", "nested too deeply"),
    "digits": ("seed = " + "9" * 10_000, "not a TOML file"),
    "long": ("#" * (1 << 20) + "#", "holds more than 1,048,576 bytes"),
    "a flag": ("seed = true\n", "seed: it is no flag"),
    "a flag for clients": ("clients = false\n", "clients: it is no flag"),
    "a flag for a rule": ("rule = true\n", "rule: it is no flag"),
    "a number for a flag": ("root_apart = 3\n", "root_apart: Input should be a valid boolean"),
    "a table in a table": ("rule.name = 'krum'\nrule.f" + ".f" * 45 + " = 1\n", "f is a whole number"),
}
"""Configurations that cannot be, and what is said."""

DONE = {
    "threads": run(threads="100000"),
    "markup for a folder": run(out="o/[/x]"),
    "markup for folders": [*run(out="o/[/x]", rule="mean"), "--rule", "median"],
    "round numbers": run(batch_size="99999999999999999999"),
    "the largest seed": run(seed=str(2**64 - 1)),
}
"""Command lines that are odd, and done."""
