"""Fixtures that several files share."""

from hypothesis import settings

from tests.gui import folder, patient_folder, read_folder, twice_read_folder  # noqa: F401

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")
