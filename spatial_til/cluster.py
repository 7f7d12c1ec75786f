"""The same stages on a Dask cluster that is already there. Its computers see the same paths as we do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self, TypeVar

from spatial_til.errors import SpatialTilError
from spatial_til.workers import Outcome, describe, one_thread_each

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

        wanted = version("spatial-til")
        futures = {}
        for item in items:
            path = self._attempts(stage, item)
            path.unlink(missing_ok=True)
            future = self._client.submit(_attempt, function, item, path, wanted, retries=RETRIES, pure=False)
            futures[future] = item
            started(item)
        for future in as_completed(list(futures)):
            yield futures.pop(future), self._outcome(future)

    @staticmethod
    def _outcome(future: Any) -> Outcome[Any]:
        from distributed.scheduler import KilledWorker

        try:
            outcome: Outcome[Any] = future.result()
        except KilledWorker:
            return Outcome(None, "its workers died (crash, or killed for memory): give workers more memory")
        except Exception as error:  # noqa: BLE001 - a failing slide must not stop the others
            return Outcome(None, describe(error))
        return outcome


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
            return Outcome(None, "its worker died three times (crash, or killed for memory): give workers more memory")
        one_thread_each()
        return Outcome(function(item))
    except SpatialTilError as error:
        return Outcome(None, str(error))
