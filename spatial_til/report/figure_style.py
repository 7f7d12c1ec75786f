"""How figures look: colours that colour-blind readers and grey printers tell apart, and never colour alone."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

#: Okabe and Ito's colours (https://jfly.uni-koeln.de/color/).
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#0072B2", "#D55E00", "#CC79A7"),
)
GREY = "#9A9A9A"
DENSITY_TICKS = (0, 10, 30, 100, 300, 1000, 3000, 10000)
FONT_PT = 9


Dash: TypeAlias = Literal["-", "--", "-.", ":"]


class Line(NamedTuple):
    """Colour, marker and dash of one series: each differs from its neighbours' in all three."""

    color: str
    marker: str
    dash: Dash


COMPARTMENT_LINES = {"core": Line(VERMILLION, "o", "-"), "margin": Line(BLUE, "s", "--")}
TIMEPOINT_LINES = (Line(BLUE, "o", "-"), Line(ORANGE, "^", "--"), Line(VERMILLION, "s", "-."), Line(PURPLE, "D", ":"))


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that lays itself out; no window, no global state."""
    return Figure(figsize=(width_in, height_in), layout="constrained", dpi=150)


def tidy(axes: Axes) -> None:
    """Make axes quiet: no box, small readable type, a faint grid along y."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_PT - 1)
    axes.grid(visible=True, axis="y", color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)


def density_axis(axes: Axes, highest: float) -> None:
    """Show densities so that 0, ten and thousands can be read: linear up to 10, then logarithmic."""
    axes.set_yscale("symlog", linthresh=10, linscale=0.5)
    axes.set_yticks([tick for tick in DENSITY_TICKS if tick <= max(highest, 300) * 1.5])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, max(highest, 300) * 1.6)


def in_words(code: str) -> str:
    """Return a code as words."""
    return code.replace("_", " ")


def text_as_is(text: str) -> str:
    """Return text that matplotlib shows as it stands: a dollar sign would start mathematics."""
    return text.replace("$", r"\$")
