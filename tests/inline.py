"""The stages of a run in this process: a test can reach into them, and no worker has to be started."""

from contextlib import contextmanager

import pytest

from spatial_til.batch import runs
from spatial_til.workers import Outcome, describe


class Inline:
    """A runner in this process, which takes items from the last to the first: their order must not matter."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, stage, function, items, started):
        for item in reversed(items):
            started(item)
            try:
                yield item, Outcome(function(item))
            except Exception as error:  # noqa: BLE001 - as the runner that is replaced
                yield item, Outcome(None, describe(error))


@contextmanager
def in_this_process():
    """Run stages here meanwhile, where a worker would take seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "LocalRunner", Inline)
        yield


@pytest.fixture(scope="module", autouse=True)
def stages_here():
    """Run the stages of a module's tests here; those of commands that a test starts have workers all the same."""
    with in_this_process():
        yield
