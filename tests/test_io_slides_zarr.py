"""OME-Zarr written here in both its versions: levels, sizes and pixels."""

import numpy as np
import pytest

from spatial_til.io.slides import open_slide
from tests.test_io_slides_written import GREY, whole


def write_zarr(path, version, unit="micrometer", axes="cyx", scale=0.25, image=GREY):
    import zarr

    full = image[None, :, None] if axes == "tczyx" else image
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for i, step in enumerate((1, 2)):
        level = full[..., ::step, ::step]
        array = group.create_array(
            str(i), shape=level.shape, chunks=(1,) * (level.ndim - 2) + (64, 64), dtype=level.dtype
        )
        array[...] = level
        sides = [1.0] * (level.ndim - 2) + [scale * step] * 2
        datasets.append({"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": sides}]})
    units = {"y": {"unit": unit}, "x": {"unit": unit}} if unit else {}
    named = [{"name": a, "type": "channel" if a == "c" else "space", **units.get(a, {})} for a in axes]
    meta = {
        "multiscales": [{"version": version, "axes": named, "datasets": datasets}],
        "omero": {"channels": [{"label": name} for name in ("DAPI", "CD8", "PD-L1")]},
    }
    group.attrs.update(meta if version == "0.4" else {"ome": meta | {"version": version}})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx"])
def test_ome_zarr_names_levels_size_and_pixels(tmp_path, version, axes):
    write_zarr(tmp_path / "a.ome.zarr", version, axes=axes)
    with open_slide(tmp_path / "a.ome.zarr") as slide:
        assert slide.channels == ("DAPI", "CD8", "PD-L1")
        assert slide.pixel_size.x_um == 0.25
        assert [level.shape for level in slide.levels] == [(300, 500), (150, 250)]
        assert np.array_equal(whole(slide, 0.25), np.moveaxis(GREY, 0, -1))
        assert np.array_equal(whole(slide, 0.5), np.moveaxis(GREY[:, ::2, ::2], 0, -1))


@pytest.mark.parametrize(
    ("unit", "scale", "um"), [("nanometer", 250, 0.25), ("millimeter", 2.5e-4, 0.25), ("", 0.25, None)]
)
def test_ome_zarr_scale_without_unit_is_no_size(tmp_path, unit, scale, um):
    write_zarr(tmp_path / "a.ome.zarr", "0.5", unit=unit, scale=scale)
    with open_slide(tmp_path / "a.ome.zarr") as slide:
        assert (slide.pixel_size and slide.pixel_size.x_um) == (um and pytest.approx(um))


def test_image_inside_a_converters_folder_is_found(tmp_path):
    write_zarr(tmp_path / "a.zarr" / "0", "0.4")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.shape == (300, 500)
