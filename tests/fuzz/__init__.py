"""Fuzzers: hostile files, replies and command lines by the thousand.

Every surface is one module here, which says what it is with four names:

- ``SURFACE``: what is tried, as the table calls it.
- ``WEIGHT``: inputs for each of hypothesis's examples, so that a profile says how long it takes: ``ci`` tries 100 times
  as many, ``nightly`` 20,000 times.
- ``try_inputs(count, seed) -> Tried``: try so many, all drawn from this seed.

`tests/fuzz/table.py` finds them, ``make fuzz`` prints the table, and `tests/fuzz/test_surfaces.py` is the short run.
"""
