"""Compiled arithmetic on arrays: no callbacks, no objects, no I/O, no hidden randomness.

State is NamedTuples of arrays. A kernel that moves time is additive: two pieces equal one.
"""
