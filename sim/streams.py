"""Named, independent random generators: keyed by what is drawn, never by the policy."""

import hashlib

import numpy as np


class Streams:
    """Philox generators keyed by (seed, component, entity, day).

    Two calls with the same key give the same numbers, whatever was drawn in between and whatever a
    policy decided. This makes two policies comparable under common random numbers.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}; allowed: an integer >= 0")
        self.seed = seed

    def generator(self, component: str, entity: str = "", day: int = 0) -> np.random.Generator:
        """The generator of one component, entity and day (or first day of a block of days)."""
        name = f"{self.seed}\x1f{component}\x1f{entity}\x1f{day}".encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
        return np.random.Generator(np.random.Philox(key=key))
