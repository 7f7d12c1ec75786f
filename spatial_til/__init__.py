"""CD8+ and PD-L1+ cells in tumour core and invasive margin, scored the same way at every biopsy.

The names that a notebook needs are here; each is loaded when it is first used, so that importing the package does
nothing and is fast. ``__init__.pyi`` lists them, for this file and for type checkers alike.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
