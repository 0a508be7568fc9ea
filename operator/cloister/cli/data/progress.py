"""How far a transfer is: on the terminal of standard error, and nowhere if that is none."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class Bar:
    """Counts bytes. Threads may share it."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def name(self, text: str) -> None:
        """What is moved now."""
        self._progress.update(self._task, description=text)

    def more(self, count: int) -> None:
        """So many bytes more; fewer, if negative: they will be sent again."""
        self._progress.advance(self._task, count)

    def expect(self, total: int | None) -> None:
        """How many there are, now that it is known."""
        self._progress.update(self._task, total=total)


@contextmanager
def bar(total: int | None = None, *, quiet: bool = False) -> Iterator[Bar]:
    """A progress bar."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with progress:
        yield Bar(progress, total)
