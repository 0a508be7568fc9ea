"""Fields of the resource that nothing enforces yet: given, they are refused, never accepted and ignored.

Left out, they do no harm: the control that would need them is reported Unknown. A row goes when the code that enforces
its field lands, together with a test of that enforcement.
"""

from collections.abc import Iterator, Mapping
from typing import Any

UNENFORCED: tuple[tuple[str, str], ...] = ()
"""Path below spec (``[]`` is any item of a list), and the control that it belongs to."""


def unenforced(spec: Mapping[str, Any], rows: tuple[tuple[str, str], ...] = UNENFORCED) -> Iterator[tuple[str, str]]:
    """Each field of a raw spec that is given but enforced by nothing, with the message for its author."""
    for path, control in rows:
        for field in _present(spec, path.split("."), "spec"):
            yield field, f"nothing in this version enforces it, so it is refused ({control}): leave it out"


def _present(node: Any, path: list[str], at: str) -> Iterator[str]:
    if not path:
        yield at
        return
    name, rest = path[0].removesuffix("[]"), path[1:]
    value = node.get(name) if isinstance(node, Mapping) else None
    if value is None:
        return
    if path[0].endswith("[]"):
        for index, item in enumerate(value):
            yield from _present(item, rest, f"{at}.{name}[{index}]")
    else:
        yield from _present(value, rest, f"{at}.{name}")
