"""Fixtures that several files share."""

from tests.gui import folder, patient_folder  # noqa: F401
