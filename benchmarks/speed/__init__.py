"""Times and memory of every rule beside its floor on this machine and beside other libraries: ``make bench``.

Each side's stack is in a process of its own: ours has fedward (`rules`), the other one the peers (`peers`), in an
environment of its own. `measure` asks both in turns, `judge` knows the budget, `report` writes. What runs on the peers'
side (`worker`, `peers`, `byzfl_round`) imports nothing of fedward.
"""
