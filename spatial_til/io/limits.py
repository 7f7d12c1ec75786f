"""What this machine, or the container we run in, lets us use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many cores we may use: of the machine, of our affinity, of the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups(root, own):
        quota = _quota(folder)
        if quota is not None:
            cores = min(cores, max(1, int(quota)))
    return max(1, cores)


def free_memory_mib(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Return how much memory we may still take, in MiB: of the machine and of the container's limit."""
    free = float(psutil.virtual_memory().available)
    for folder in _groups(root, own):
        for most, used, stat in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, taken = _number(folder / most), _number(folder / used)
            if limit is not None and taken is not None:
                # Pages of files that nobody uses are given back when we ask.
                free = min(free, limit - max(taken - _field(folder / "memory.stat", stat), 0.0))
    return max(free, 0.0) / 2**20


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the control groups that limit us: our own and those above it, of both versions."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / controllers
        folder = base / path.lstrip("/")
        yield from (p for p in (folder, *folder.parents) if p.is_relative_to(base) and p.is_dir())
    yield from (p for p in (root, root / "memory", root / "cpu") if p.is_dir())


def _quota(folder: Path) -> float | None:
    """Return the cores that a group's quota of time comes to."""
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    found, every = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return found / every if found and every and found > 0 else None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max": no limit
        return None


def _field(path: Path, name: str) -> float:
    try:
        entries = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
        return float(entries[name])
    except (OSError, ValueError, KeyError):
        return 0.0
