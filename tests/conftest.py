"""Fixtures that several files share."""

from hypothesis import settings

from tests.gui import folder, new_dock, patient_folder, read_folder, twice_read_folder, window  # noqa: F401

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")
