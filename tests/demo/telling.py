"""How a demo tells what it does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Telling:
    """A story's steps. Each shows what it did and how long it took; none hides a failure."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def _title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]")

    def _note(self, text: str) -> None:
        self.console.print(f"  {text}", style="dim", markup=False)

    @contextmanager
    def _step(self, text: str) -> Iterator[None]:
        started = time.monotonic()
        with self.console.status(text):
            yield
        self.console.print(f"  [green]done[/]     {text} [dim]({time.monotonic() - started:.1f} s)[/]")

    def _show_refused(self, what: str, said: str) -> None:
        self.console.print(f"  [green]refused[/]  {what}")
        self.console.print(f"           {said}", style="dim", markup=False)


def denied(error: Exception) -> str:
    """The guard's own words in what kubectl says."""
    return str(error).split("denied request: ")[-1].splitlines()[0]
