"""The same stages on a Dask cluster that is already there. Its computers see the same paths as we do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeVar

from spatial_til.errors import SpatialTilError
from spatial_til.workers import Outcome, describe, is_for_memory, one_thread_each

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 2
TIMEOUT_S = 20
EXTRA = "--scheduler needs Dask: install spatial-til[dask]"


class DaskRunner:
    """Workers of a running cluster. Use as a context.

    An error of ours is a failure at once: trying again would say the same. Any other error, and a worker that
    dies, is tried twice more, on whichever worker is free.
    """

    def __init__(self, address: str, attempts: Callable[[str, Any], Path]) -> None:
        """Connect to the scheduler at `address`; `attempts` names the file that counts the tries of an item.

        Raises
        ------
        SpatialTilError
            Where Dask is not installed or the scheduler does not answer.
        """
        try:
            from distributed import Client
        except ImportError:
            raise SpatialTilError(EXTRA) from None
        try:
            self._client = Client(address, timeout=TIMEOUT_S)
        except (OSError, ValueError, TimeoutError) as error:
            msg = f"--scheduler {address}: no scheduler answers ({error}): start one, or correct the address"
            raise SpatialTilError(msg) from None
        self._attempts = attempts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def workers(self) -> int:
        """Return how many tasks the cluster runs at once now; more may join."""
        return sum(self._client.nthreads().values())

    def __call__(
        self,
        stage: str,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        started: Callable[[Item], None],
    ) -> Iterator[tuple[Item, Outcome[Result]]]:
        """Yield each item with its outcome, in the order they finish."""
        from distributed import as_completed

        futures = {}
        for item in items:
            self._attempts(stage, item).unlink(missing_ok=True)
            futures[self._submit(stage, function, item)] = (item, 0)
            started(item)
        completed = as_completed(list(futures))
        for future in completed:
            item, deaths = futures.pop(future)
            outcome = self._outcome(future)
            if outcome is None and deaths < _MOST_DEATHS:
                # Dask blames all that waited on a worker that died; the count on disk knows which one ran.
                again = self._submit(stage, function, item)
                futures[again] = (item, deaths + 1)
                completed.add(again)
            else:
                yield item, outcome or Outcome(None, _DIED)

    def _submit(self, stage: str, function: Callable[[Item], Result], item: Item) -> Any:
        arguments = (function, item, self._attempts(stage, item), version("spatial-til"))
        return self._client.submit(_attempt, *arguments, retries=RETRIES, pure=False)

    @staticmethod
    def _outcome(future: Any) -> Outcome[Any] | None:
        """Return what came of an item; None where Dask gave it up since its workers died."""
        from distributed.scheduler import KilledWorker

        try:
            outcome: Outcome[Any] = future.result()
        except KilledWorker:
            return None
        except Exception as error:  # noqa: BLE001 - a failing slide must not stop the others
            return Outcome(None, describe(error))
        return outcome


#: Deaths of workers that may hit an item that only waited on them.
_MOST_DEATHS = 5
_DIED = "its worker died three times (crash, or killed for memory): give workers more memory"


def _attempt(function: Callable[[Item], Result], item: Item, path: Path, wanted: str) -> Outcome[Result]:
    """Do one item on a worker of the cluster. The count on disk holds even where the worker dies."""
    found = version("spatial-til")
    if found != wanted:
        return Outcome(None, f"the worker has spatial-til {found}, not {wanted}: install the same everywhere")
    try:
        if not path.parent.is_dir():
            return Outcome(None, f"the worker does not see {path.parent.parent}: use a disk that all computers share")
        with path.open("ab") as file:
            file.write(b".")
        if path.stat().st_size > RETRIES + 1:
            return Outcome(None, _DIED)
        one_thread_each()
        outcome = Outcome(function(item))
    except SpatialTilError as error:
        if is_for_memory(error):  # another try may have enough
            raise
        outcome = Outcome(None, str(error))
    path.unlink(missing_ok=True)  # done: should the worker die before it is asked, that is no death of this item
    return outcome
