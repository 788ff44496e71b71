"""Times and memory of every rule beside its floor on this machine and beside other libraries: ``make bench``.

A process of its own holds each side's stack: ours has fedward (`rules`), the peers' one has theirs (`peers`) and runs in
an environment of its own. `measure` asks both in turns, `report` judges and writes. What runs on the peers' side
(`worker`, `peers`, `byzfl_round`) imports nothing of fedward.
"""
