"""What a trial of a stranger's file is: the files, who reads them, and what must come of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Trial(NamedTuple):
    """Files by name, read out of their folder into a value, or refused.

    `right` is the value that must come out; where there are words in `says`, the files must be
    refused, and the refusal hold them all.
    """

    files: Mapping[str, bytes | str]
    read: Callable[[Path], object]
    right: object = None
    says: tuple[str, ...] = ()


Kind = Callable[[np.random.Generator, int], Trial]  # draws, and the number of the trial
