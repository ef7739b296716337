"""Type aliases that many packages share."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
OnProgress = Callable[[int, int], None]  # called with (done, of how many)
OnEvent = Callable[[int, str, str, str], None]  # t_s, kind, subject, detail
OnSiteEvent = Callable[[int, str, str, str, str], None]  # t_s, kind, site, subject, detail
