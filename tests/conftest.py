"""Fixtures that several files share."""

import pytest
from hypothesis import settings

from tests.gui import folder, new_dock, patient_folder, read_folder, twice_read_folder, window  # noqa: F401

settings.register_profile("no clock", deadline=None)  # a busy machine is no failure
settings.load_profile("no clock")


@pytest.fixture
def run(capsys):
    """Run a command in this process, which saves the seconds of its imports, and return what it printed."""
    from spatial_til import cli

    def here(*arguments: object, status: int):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert ended.value.code == status, said.out + said.err
        assert "Traceback" not in said.err
        assert "internal error" not in said.err
        return said

    return here
