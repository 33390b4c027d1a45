"""Figures as SVG that stands in a page: its text stays text, its colours follow the page's light or dark theme."""

import io
import re

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 400  # of a figure, in units of which a narrow phone has some 350
FONT_SIZE = 13
# colour of the figures and of the light theme -> name of the CSS variable, colour of the dark theme
THEME = {
    "#1c2733": ("ink", "#e3e9f0"),
    "#5b6b7d": ("muted", "#98a7b8"),
    "#d6dde5": ("line", "#364250"),
    "#7b8fa6": ("dots", "#8b9db3"),
    "#2a6fbb": ("blue", "#6aaef5"),
    "#c0392b": ("red", "#f08a7e"),
    "#d67c00": ("orange", "#ffb347"),
    "#1e8449": ("green", "#58c98a"),
    "#8e44ad": ("violet", "#c890e6"),
    "#117a8b": ("teal", "#4cc3d6"),
    "#7d5a3c": ("brown", "#c9a27e"),
    "#c2185b": ("pink", "#f37aa8"),
}
HEX = {name: colour for colour, (name, _) in THEME.items()}
INK, LINE = HEX["ink"], HEX["line"]


def css_variables() -> dict[str, str]:
    """The colours of the pages.

    Returns:
        The declarations of the CSS variables for the `light` and for the `dark` theme.
    """
    return {
        "light": "; ".join(f"--{name}: {colour}" for colour, (name, _) in THEME.items()),
        "dark": "; ".join(f"--{name}: {dark}" for name, dark in THEME.values()),
    }


def new_figure(height: int) -> Figure:
    """Makes an empty figure of the width of a phone's screen.

    Args:
        height: Its height, in the units of WIDTH.

    Returns:
        The figure.
    """
    return Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained", facecolor="none")


def new_axes(figure: Figure, xlabel: str, ylabel: str) -> Axes:
    """Adds axes in the colours of the page.

    Args:
        figure: The figure.
        xlabel: What the x axis shows.
        ylabel: What the y axis shows.

    Returns:
        The axes.
    """
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(xlabel, color=INK, fontsize=FONT_SIZE)
    axes.set_ylabel(ylabel, color=INK, fontsize=FONT_SIZE)
    axes.tick_params(colors=INK, labelsize=FONT_SIZE - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.grid(color=LINE, lw=0.8)
    axes.set_axisbelow(True)
    return axes


def inline_svg(figure: Figure, name: str, words: str) -> Markup:
    """Renders a figure.

    Args:
        figure: The figure, whose colours are those of THEME.
        name: A name that no other figure of the page has; the ids inside begin with it.
        words: What the figure shows, for those who cannot see it.

    Returns:
        An `<svg>` element: well-formed XML without scripts, styles that reach outside and links to elsewhere.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slimlab"}):  # the same run, the same bytes
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for needless in (r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>", r"<!--.*?-->"):
        svg = re.sub(needless, "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace(" xlink:href=", " href=")  # HTML knows the element
    svg = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)  # the page's
    svg = re.sub(r"(?<=: )#[0-9a-f]{6}", _variable, svg)
    described = f'<svg role="img" aria-label="{Markup.escape(words)}"'
    _, sizeless = re.split(r"<svg(?=\s)", re.sub(r'\s(width|height)="[\d.]+pt"', "", svg, count=2), maxsplit=1)
    return Markup(described + sizeless)


def _variable(colour: re.Match[str]) -> str:
    return f"var(--{THEME[colour[0]][0]})" if colour[0] in THEME else colour[0]
