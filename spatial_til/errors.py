"""The errors a user may meet. Each message says the rule, what was found, and what to do."""

from __future__ import annotations

from collections.abc import Sequence


class SpatialTilError(Exception):
    """Base of every error this package raises on purpose."""


class SlideError(SpatialTilError):
    """Raised when a slide cannot be opened, read or measured."""


class SlideMemoryError(SlideError, MemoryError):
    """Raised when pixels need more memory than there is: that may be other than a damaged file, and pass."""


class AnnotationError(SpatialTilError):
    """Raised when an annotation cannot be read or does not fit its slide."""


class CellTableError(SpatialTilError):
    """Raised when a cell table or label image cannot be used."""


class ProblemsError(SpatialTilError):
    """Raised with every problem of one input at once.

    Parameters
    ----------
    problems
        One line each: what is wrong, where, and what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ProblemsError], tuple[tuple[str, ...]]]:
        """Pickle with the problems, not with the message: a worker's error arrives as it was."""
        return type(self), (self.problems,)


class ProtocolError(ProblemsError):
    """Raised when a protocol has unknown keys, wrong types or impossible values."""


class StudyError(ProblemsError):
    """Raised when a study sheet cannot be used."""


class ReviewError(ProblemsError):
    """Raised when a reader's journal cannot be read, written or applied."""


class TrainingError(ProblemsError):
    """Raised when what was painted is too little to learn tissue from, or does not fit its slides."""


class ModelError(ProblemsError):
    """Raised when a stored tissue classifier cannot be used."""
