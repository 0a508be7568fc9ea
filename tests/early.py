"""Ends what a session shares before the session ends: what nobody needs any more still takes part of a core."""

import pytest


def end(item: pytest.Item, *fixtures: str) -> None:
    """End these fixtures and what stands on them, the last one first, by what pytest itself ends them with."""
    known = item.session._fixturemanager._arg2fixturedefs
    for definition in (found for name in reversed(fixtures) for found in known.get(name, ())):
        definition.finish(item._request)  # type: ignore[attr-defined]
