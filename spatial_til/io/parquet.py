"""Parquet files, read and written with memory that goes back to the system."""

from __future__ import annotations

from functools import cache
from types import ModuleType


@cache
def parquet() -> ModuleType:
    """Return `pyarrow.parquet`, imported when it is first needed.

    Its own allocator keeps what is given back: of a slide of 300,000 cells 45 MiB more than the cells have.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_memory_pool(pa.system_memory_pool())
    module: ModuleType = pq
    return module
