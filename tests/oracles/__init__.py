"""Naive float64 reference functions, written from the formulas, against which fast code is compared."""
