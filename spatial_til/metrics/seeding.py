"""Random numbers that depend on what is drawn for, never on the order of the work."""

from __future__ import annotations

import hashlib

import numpy as np


def seeded_generator(seed: int, *keys: str) -> np.random.Generator:
    """Return a generator fixed by the seed and the names of what it is for.

    Parameters
    ----------
    seed
        The protocol's `statistics.seed`.
    *keys
        Such as slide and compartment. The same seed and keys give the same numbers on every machine, in
        every process and in any order.

    Examples
    --------
    >>> bool(seeded_generator(0, "S1", "core").random() == seeded_generator(0, "S1", "core").random())
    True
    """
    digest = hashlib.blake2b("\x1f".join((str(seed), *keys)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
