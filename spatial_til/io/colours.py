"""A sample of a slide's colours, to one file and back, with what it was made of."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.io.atomic import writing


def write_colours(path: Path, colours: NDArray[np.float16], made_of: Mapping[str, Any]) -> None:
    """Write optical densities (n, 3), whole or not at all."""
    with writing(path) as part:
        np.savez_compressed(part, colours=colours, made_of=json.dumps(made_of, sort_keys=True))


def read_colours(path: Path, made_of: Mapping[str, Any] | None = None) -> NDArray[np.float16] | None:
    """Return stored optical densities (n, 3); None where there are none, or none made of the same things."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if made_of is not None and str(stored["made_of"]) != json.dumps(made_of, sort_keys=True):
                return None
            return np.asarray(stored["colours"], dtype=np.float16)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
