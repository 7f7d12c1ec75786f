"""Fixtures that several files share."""

from tests.gui import folder, patient_folder, read_folder, twice_read_folder  # noqa: F401
