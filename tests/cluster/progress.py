"""Shows that a long build is alive: a spinner on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import os
import subprocess
import time

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_LINE_EVERY = 20.0
_POLL = 0.2


def watch(process: subprocess.Popen[bytes], label: str, expected_seconds: int) -> int:
    """Show progress until the process ends, and return its exit code. An interrupt ends the process too."""
    console = Console(stderr=True)
    about = f"{label}: building, up to {roughly(expected_seconds)} the first time"
    try:
        return _spin(process, console, about) if console.is_terminal else _log(process, console, label, about)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def roughly(seconds_on_two_cores: int) -> str:
    """An honest order of magnitude for this machine, in words."""
    seconds = seconds_on_two_cores * 2 / max(2, min(os.cpu_count() or 2, 8))
    return f"{max(1, round(seconds / 60))} min" if seconds >= 45 else f"{max(10, round(seconds / 10) * 10)} s"


def _spin(process: subprocess.Popen[bytes], console: Console, about: str) -> int:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task(about, total=None)
        while (code := process.poll()) is None:
            time.sleep(_POLL)
    return code


def _log(process: subprocess.Popen[bytes], console: Console, label: str, about: str) -> int:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    started = last = time.monotonic()
    say(about)
    while (code := process.poll()) is None:
        time.sleep(_POLL)
        now = time.monotonic()
        if now - last >= PLAIN_LINE_EVERY:
            say(f"{label}: still building, {now - started:.0f} s")
            last = now
    say(f"{label}: {'built' if code == 0 else 'failed'} after {time.monotonic() - started:.0f} s")
    return code
