"""Write the API reference, one page a module, from the docstrings: ``python docs/build_api.py OUT [--no-source]``."""

from __future__ import annotations

import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

import spatial_til


def build(out: Path, *, source: bool = True) -> None:
    """Write the reference into a folder; any complaint of the tool or of an import is an error.

    Without the source of each function it takes half as long.
    """
    warnings.simplefilter("error", UserWarning)
    # the constructor of a NamedTuple has no module of its own in which pdoc could look types up; it shows their names
    warnings.filterwarnings("ignore", r"Error parsing type annotation ForwardRef.*\.__init__\.", UserWarning)
    names = ["spatial_til", *(m.name for m in pkgutil.walk_packages(spatial_til.__path__, "spatial_til."))]
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    modules = [name for name in public if _importable(name) and not _listed_by_parent(name)]
    pdoc.render.configure(docformat="numpy", footer_text="spatial_til", search=True, show_source=source)
    pdoc.pdoc(*modules, output_directory=out)


def _listed_by_parent(name: str) -> bool:
    """Return whether the page of the package brings its modules along: where it names nothing itself."""
    parent = name.rpartition(".")[0]
    return bool(parent) and not hasattr(import_module(parent), "__all__")


def _importable(name: str) -> bool:
    """Return whether a module's optional packages are installed."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("spatial_til"):
            raise
        return False
    return True


if __name__ == "__main__":
    names = [word for word in sys.argv[1:] if word != "--no-source"]
    build(Path(names[0] if names else "docs/api"), source="--no-source" not in sys.argv)
