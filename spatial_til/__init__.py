"""CD8+ and PD-L1+ cells in tumour core and invasive margin, scored the same way at every biopsy.

The names that a notebook needs are here; each is loaded when it is first used, so that importing the package does
next to nothing and is fast. ``__init__.pyi`` lists them, for this file and for type checkers alike.
"""

import os
from pathlib import Path

import lazy_loader

from spatial_til.kernel_cache import provide_kernel_cache, usual_places

# Before numba is imported by whatever is used first.
provide_kernel_cache(os.environ, usual_places(Path(__file__).parent, os.environ))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
