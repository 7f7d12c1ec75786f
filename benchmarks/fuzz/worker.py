"""One process that reads damaged files: each comes to a result, to a refusal of ours, or to a fault."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

#: What one input may take: of the processor, and, where it waits for something, by the clock.
LIMIT_S, WAIT_S = 10.0, 120.0
LIMIT_MIB = 1024.0
#: Beyond that much more address space memory is refused to the process, so that nothing can swamp the machine.
_SPACE = round(1.25 * LIMIT_MIB * 2**20)


@dataclass(frozen=True, slots=True)
class Fault:
    """One input that came to neither a result nor one of our errors."""

    target: str
    index: int
    kind: str  # exception, memory, time, crash
    what: str


@dataclass(slots=True)
class Tally:
    """What a run of inputs came to."""

    results: int = 0
    refused: int = 0
    faults: list[Fault] = field(default_factory=list)
    slowest_s: float = 0.0
    most_mib: float = 0.0

    def add(self, other: Tally) -> None:
        """Take in another tally."""
        self.results += other.results
        self.refused += other.refused
        self.faults += other.faults
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.most_mib = max(self.most_mib, other.most_mib)


@dataclass(slots=True)
class Place:
    """A target's valid files, in a folder of this process."""

    target: Any
    folder: Path
    names: list[str]
    valid: dict[str, bytes]

    def damaged(self, seed: int, index: int) -> tuple[Path, bytes]:
        """Return the file of an input and its content, the same in every run."""
        rng = Random(f"{seed} {self.target.name} {index}")
        name = rng.choice(self.names)
        return self.folder / name, self.target.change(self.valid[name], rng)


def place_of(target: Any, names: list[str], made: Path, folder: Path) -> Place:
    """Copy a target's valid files to a folder."""
    shutil.copytree(made, folder)
    return Place(target, folder, names, {name: (folder / name).read_bytes() for name in names})


def try_input(place: Place, seed: int, index: int) -> str | Fault:
    """Read one damaged file: ``result``, ``refused``, or the fault. The valid file is put back."""
    from spatial_til.errors import SpatialTilError

    path, data = place.damaged(seed, index)
    path.write_bytes(data)
    try:
        place.target.read(path)
    except SpatialTilError as error:
        if any(isinstance(e, MemoryError) for e in _chain(error)):
            return Fault(place.target.name, index, "memory", _where(error))
        return "refused" if str(error) else Fault(place.target.name, index, "exception", "an error without words")
    except MemoryError as error:
        return Fault(place.target.name, index, "memory", _where(error))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return Fault(place.target.name, index, "exception", _where(error))
    else:
        return "result"
    finally:
        path.write_bytes(place.valid[str(path.relative_to(place.folder))])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _where(error: BaseException) -> str:
    """Return the error and the last line of ours that it went through: alike for alike faults."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "spatial_til/" in f.filename]
    last = f"{frames[-1].filename.rpartition('spatial_til/')[2]}:{frames[-1].lineno}" if frames else "?"
    return f"{last} {type(error).__name__}: {str(error)[:150]!r}"


def work(pipe: Connection, now: Any, made: Path, folder: Path, seed: int) -> None:
    """Take runs of inputs from a pipe and send back what they came to; `now` tells the input and since when."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    warnings.simplefilter("ignore")
    from benchmarks.fuzz.targets import TARGETS
    from spatial_til.workers import one_thread_each

    one_thread_each()
    targets = {target.name: target for target in TARGETS}
    places: dict[str, Place] = {}
    while (task := pipe.recv()) is not None:
        name, names, start, stop = task
        if name not in places:
            k = str(len(places))
            places[name] = place_of(targets[name], names, made / name.replace("/", "-"), folder / k)
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            for valid in names:
                places[name].target.read(places[name].folder / valid)
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") * 1024 + _SPACE, resource.RLIM_INFINITY))
        pipe.send(_run(places[name], seed, range(start, stop), now))


def _run(place: Place, seed: int, inputs: range, now: Any) -> Tally:
    tally = Tally()
    for index in inputs:
        before = _forget_peak()
        begun, worked = time.monotonic(), time.process_time()
        now[0], now[1], now[2] = index, time.process_time(), begun
        found = try_input(place, seed, index)
        took = time.process_time() - worked
        mib = (_status("VmHWM") - before) / 1024
        now[2] = 0.0
        tally.slowest_s, tally.most_mib = max(tally.slowest_s, took), max(tally.most_mib, mib)
        if mib > LIMIT_MIB and not isinstance(found, Fault):
            found = Fault(place.target.name, index, "memory", f"{mib:.0f} MiB")
        if isinstance(found, Fault):
            tally.faults.append(found)
        else:
            tally.results += found == "result"
            tally.refused += found == "refused"
    return tally


def _forget_peak() -> int:
    """Let the peak of this process's memory begin anew, and return what it holds now, in KiB (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
