"""The README says what the code does."""

from pathlib import Path

import pytest

from spatial_til.flags import FLAGS, flag_of, join_flags

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="no README beside the tests")
def test_the_flag_table_is_the_codes_own():
    text = README.read_text(encoding="utf-8")
    for code, flag in FLAGS.items():
        assert f"| `{code}` | {flag.meaning} | {flag.remedy} |" in text


def test_flags_are_joined_in_table_order_once():
    assert join_flags(["marker_loss:HLA-I", "few_tiles"], ["no_border", "few_tiles"]) == (
        "no_border;few_tiles;marker_loss:HLA-I"
    )
    assert flag_of("marker_loss:B2M").group == "biology"
