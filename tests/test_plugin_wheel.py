"""What `pip install` installs is a plugin that napari finds: the manifest is in the wheel, and is declared there."""

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "-w",
        folder,
        ROOT,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if run.returncode and "hatchling" in run.stderr:
        pytest.skip("the wheel cannot be built here: no hatchling to be had")
    assert run.returncode == 0, run.stderr
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


def test_the_wheel_declares_a_manifest_that_is_in_it_and_valid(wheel):
    npe2 = pytest.importorskip("npe2", reason="napari is not installed: pip install --group gui")
    (declared,) = wheel.glob("*.dist-info/entry_points.txt")
    points = ConfigParser()
    points.read_string(declared.read_text(encoding="utf-8"))
    module, _, name = points["napari.manifest"]["spatial-til"].partition(":")
    path = wheel.joinpath(*module.split("."), name)
    manifest = npe2.PluginManifest.from_file(path)
    assert manifest.name == "spatial-til"
    for command in manifest.contributions.commands:
        module, _, function = command.python_name.partition(":")
        source = wheel.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        assert f"def {function}(" in source or f"class {function}(" in source
