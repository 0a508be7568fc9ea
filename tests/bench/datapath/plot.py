"""A bar chart as SVG."""

import math
from collections.abc import Mapping
from html import escape

_WIDTH, _BAR, _GAP, _LABEL = 760, 26, 12, 200


def bars(title: str, values: Mapping[str, float]) -> str:
    """Horizontal bars, logarithmic, one for each value."""
    longest = math.log10(max(values.values()) + 1)
    height = 50 + len(values) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif"'
        f' font-size="13"><rect width="100%" height="100%" fill="white"/><text x="10" y="24">{escape(title)}</text>'
    ]
    for number, (name, value) in enumerate(values.items()):
        y = 40 + number * (_BAR + _GAP)
        length = math.log10(value + 1) / longest * (_WIDTH - _LABEL - 90)
        parts.append(
            f'<text x="10" y="{y + 18}">{escape(name)}</text>'
            f'<rect x="{_LABEL}" y="{y}" width="{length:.0f}" height="{_BAR}" fill="#4a7ab5"/>'
            f'<text x="{_LABEL + length + 8:.0f}" y="{y + 18}">{value:.0f}</text>'
        )
    return "".join([*parts, "</svg>\n"])
