"""Bar charts as SVG."""

import math
from collections.abc import Iterator, Mapping
from html import escape

_WIDTH, _BAR, _GAP, _LABEL, _TITLE = 760, 24, 8, 200, 48


def bars(panels: Mapping[str, Mapping[str, float]]) -> str:
    """Panels below each other, each of horizontal bars on a logarithmic scale of its own that begins at 1."""
    height = sum(_TITLE + len(values) * (_BAR + _GAP) for values in panels.values()) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif"'
        ' font-size="13">\n<rect width="100%" height="100%" fill="white"/>'
    ]
    top = 0
    for title, values in panels.items():
        parts += _panel(top, f"{title}, logarithmic", values)
        top += _TITLE + len(values) * (_BAR + _GAP)
    return "\n".join([*parts, "</svg>\n"])


def _panel(top: int, title: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f'<text x="10" y="{top + 30}" font-weight="bold">{escape(title)}</text>'
    longest = max((math.log10(max(value, 1.0)) for value in values.values()), default=0.0) or 1.0
    for number, (name, value) in enumerate(values.items()):
        y = top + _TITLE + number * (_BAR + _GAP)
        length = math.log10(max(value, 1.0)) / longest * (_WIDTH - _LABEL - 90)
        yield f'<text x="10" y="{y + 17}">{escape(name)}</text>'
        yield f'<rect x="{_LABEL}" y="{y}" width="{length:.0f}" height="{_BAR}" fill="#4a7ab5"/>'
        yield f'<text x="{_LABEL + length + 8:.0f}" y="{y + 17}">{value:,.{0 if value >= 100 else 1}f}</text>'
