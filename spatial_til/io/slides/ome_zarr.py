"""OME-Zarr 0.4 and 0.5 (https://ngff.openmicroscopy.org): chunks are the tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_til.counted import counted
from spatial_til.errors import SlideError
from spatial_til.io.json_text import parse_object
from spatial_til.io.slides.channels import RGB, name_channels
from spatial_til.io.slides.pixel_size import pixel_size_from, to_um
from spatial_til.io.slides.pyramid import HEADER_ERRORS, Level, Pyramid, SizeSource
from spatial_til.io.slides.tiff_level import check_channels, check_size
from spatial_til.io.slides.zarr_chunks import check_unpacked

#: Codecs that only unpack numbers. Anything else is refused: numcodecs also has pickle.
SAFE_CODECS = {
    "blosc", "zstd", "lz4", "gzip", "zlib", "bz2", "lzma", "shuffle", "delta", "bytes", "endian", "transpose",
    "crc32c", "sharding_indexed", "crc32", "adler32", "fletcher32",
}  # fmt: skip


class ZarrLevel:
    """One array of a multiscale image; each index of its channel axis is a plane."""

    samples = 1
    fill = 0

    def __init__(self, path: Path, array: Any, axes: Sequence[str], codecs: Sequence[str]) -> None:
        row, col = axes.index("y"), axes.index("x")
        self._path = path
        self._array = array
        self._axes = tuple(axes)
        self.shape = (int(array.shape[row]), int(array.shape[col]))
        self.tile = (int(array.chunks[row]), int(array.chunks[col]))
        self.planes = int(array.shape[axes.index("c")]) if "c" in axes else 1
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        if self.dtype.kind not in "uif" or self.dtype == np.float16:
            msg = f"{path}: pixels of type {array.dtype} cannot be scored. Export 8 or 16 bit, or float."
            raise SlideError(msg)
        self._codecs = tuple(codecs)
        self._chunk_planes = int(array.chunks[axes.index("c")]) if "c" in axes else 1
        others = math.prod(int(n) for n, axis in zip(array.chunks, axes, strict=True) if axis not in "yx")
        check_size(path, self.shape, self.tile, self.dtype.itemsize * others)
        self._chunk_bytes = math.prod(self.tile) * self.dtype.itemsize * others

    def decode(self, plane: int, tile_row: int, tile_col: int) -> NDArray[Any]:
        """Return (rows, cols, 1) of one chunk of one channel."""
        top, left = tile_row * self.tile[0], tile_col * self.tile[1]
        where = {"y": slice(top, top + self.tile[0]), "x": slice(left, left + self.tile[1]), "c": plane}
        chunk_at = {"y": tile_row, "x": tile_col, "c": plane // self._chunk_planes}
        key = self._array.metadata.encode_chunk_key(tuple(chunk_at.get(axis, 0) for axis in self._axes))
        check_unpacked(self._path / key, self._codecs, self._chunk_bytes)
        try:
            chunk = np.asarray(self._array[tuple(where.get(axis, 0) for axis in self._axes)], self.dtype)
        except (*HEADER_ERRORS, MemoryError, SystemError) as error:
            msg = f"{self._path}: chunk ({tile_row}, {tile_col}) cannot be decoded ({error}). Copy the folder again."
            raise SlideError(msg) from error
        return (chunk if self._axes.index("y") < self._axes.index("x") else chunk.T)[..., np.newaxis]


def open_ome_zarr(path: Path) -> Pyramid:
    """Open the one multiscale image of an OME-Zarr folder.

    Raises
    ------
    SlideError
        The folder is no OME-Zarr, holds focal planes, times or several images, or an unsafe codec.
    """
    try:
        return _pyramid(path)
    except HEADER_ERRORS as error:
        msg = f"{path}: its metadata are not those of OME-Zarr ({error}). Export it again."
        raise SlideError(msg) from error


def _pyramid(path: Path) -> Pyramid:
    group, meta = _image_group(path)
    multiscale = meta["multiscales"][0]
    axes = [
        str(axis["name"]).lower() if isinstance(axis, Mapping) else str(axis) for axis in multiscale.get("axes", ())
    ]
    if "y" not in axes or "x" not in axes or set(axes) - set("tczyx"):
        msg = f"{path}: the axes {axes} are not among t, c, z, y, x. Export OME-Zarr 0.4 or 0.5."
        raise SlideError(msg)
    levels = tuple(_level(group, dataset, axes) for dataset in multiscale["datasets"])
    check_channels(path, levels[0].planes)
    names = [str(c.get("label", "")) for c in meta.get("omero", {}).get("channels", ())]
    colour = _is_colour(levels[0], names)
    return Pyramid(
        levels=levels,
        channels=RGB if colour else name_channels(names, levels[0].planes),
        is_rgb=colour,
        size_sources=_size_source(multiscale, axes),
        close=lambda: None,
    )


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the OME attributes of a group of either version; empty where there are none."""
    try:
        if (folder / "zarr.json").is_file():
            attributes = parse_object((folder / "zarr.json").read_text("utf-8")).get("attributes", {})
            ome: dict[str, Any] = attributes.get("ome", attributes)
            return ome
        if (folder / ".zattrs").is_file():
            old: dict[str, Any] = parse_object((folder / ".zattrs").read_text("utf-8"))
            return old
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{folder}: its metadata is not valid JSON ({error}). Copy the folder again."
        raise SlideError(msg) from error
    return {}


def _image_group(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder with the image, which converters put one level down, and its attributes."""
    meta = _attributes(path)
    if "multiscales" in meta:
        return path, meta
    inner = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and "multiscales" in _attributes(folder)]
    if len(inner) != 1:
        found = f"holds {len(inner)} images" if inner else "is no OME-Zarr image"
        msg = f"{path}: the folder {found}; give the folder of the one image to score."
        raise SlideError(msg)
    return inner[0], _attributes(inner[0])


def _level(group: Path, dataset: Mapping[str, Any], axes: Sequence[str]) -> Level:
    import zarr

    folder = group / str(dataset["path"])
    if not folder.resolve().is_relative_to(group.resolve()):
        msg = f"{group}: a level lies outside the folder ({dataset['path']}); that is refused as unsafe."
        raise SlideError(msg)
    codecs = _checked_codecs(folder)
    try:
        # the version whose codecs were looked at
        array = zarr.open_array(str(folder), mode="r", zarr_format=3 if (folder / "zarr.json").is_file() else 2)
    except HEADER_ERRORS as error:
        msg = f"{folder}: the array cannot be opened ({error}). Copy the folder again."
        raise SlideError(msg) from error
    if len(array.shape) != len(axes):
        found = counted(len(array.shape), "axis", "axes")
        msg = f"{folder}: the array has {found}, the metadata {len(axes)}. Export it again."
        raise SlideError(msg)
    for axis, name in (("z", "focal planes"), ("t", "times")):
        if axis in axes and array.shape[axes.index(axis)] > 1:
            msg = f"{group}: the image has several {name}; choose or project to one, and export that."
            raise SlideError(msg)
    return ZarrLevel(folder, array, axes, codecs)


def _codec_names(node: Any) -> Iterator[str]:
    """Return the name of every codec in an array's metadata, sharded ones included."""
    for codec in node if isinstance(node, list) else [node]:
        if isinstance(codec, str):
            yield codec.removeprefix("numcodecs.")
        elif isinstance(codec, Mapping):
            yield str(codec.get("id", codec.get("name", ""))).removeprefix("numcodecs.")
            inner = codec.get("configuration", {})
            for key in ("codecs", "index_codecs"):
                yield from _codec_names(inner.get(key, []))


def _checked_codecs(folder: Path) -> list[str]:
    """Return the names of an array's codecs in the order in which they pack; none where chunks lie in shards."""
    file = folder / "zarr.json" if (folder / "zarr.json").is_file() else folder / ".zarray"
    try:
        meta = parse_object(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{folder}: the array's metadata cannot be read ({error}). Copy the folder again."
        raise SlideError(msg) from error
    parts = [meta.get("codecs") or [], meta.get("filters") or [], meta.get("compressor") or []]
    codecs = [name for part in parts for name in _codec_names(part)]
    unsafe = sorted(set(codecs) - SAFE_CODECS)
    if unsafe:
        msg = f"{folder}: the codec {', '.join(unsafe)} is not read. Export with blosc or zstd."
        raise SlideError(msg)
    return [] if "sharding_indexed" in codecs else codecs


def _is_colour(level: Level, names: Sequence[str]) -> bool:
    """Say whether channels are declared red, green and blue; three channels alone do not make a colour picture."""
    folded = tuple(name.casefold() for name in names)
    return level.planes == 3 and level.dtype == np.uint8 and folded in {RGB, ("r", "g", "b")}


def _size_source(multiscale: Mapping[str, Any], axes: Sequence[str]) -> tuple[SizeSource, ...]:
    """Return the scale of level 0 where the axes carry a unit of length; a bare scale is a number of nothing."""
    scale = np.ones(len(axes))
    for transforms in (
        multiscale["datasets"][0].get("coordinateTransformations", ()),
        multiscale.get("coordinateTransformations", ()),
    ):
        for transform in transforms:
            if transform.get("type") == "scale" and len(transform.get("scale", ())) == len(axes):
                scale = scale * np.asarray(transform["scale"], float)
    units = {str(a["name"]).lower(): str(a.get("unit", "")) for a in multiscale["axes"] if isinstance(a, Mapping)}
    x, y = (to_um(float(scale[axes.index(axis)]), units.get(axis, "")) for axis in "xy")
    size = pixel_size_from(x, y)
    return (SizeSource("OME-Zarr scale", size),) if size else ()
