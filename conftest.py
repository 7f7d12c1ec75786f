"""What pytest must know of the whole repository."""

from importlib.util import find_spec

# Modules are imported to find their examples; those that draw windows need napari.
collect_ignore_glob = [] if find_spec("napari") else ["spatial_til/plugin/widgets/*"]
