"""Shows that a long build is alive: a spinner on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_LINE_EVERY = 20.0
_POLL = 0.2


def watch(process: subprocess.Popen[bytes], label: str, expected_seconds: int, *, doing: str = "building") -> int:
    """Show progress until the process ends, and return its exit code. An interrupt ends the process too."""
    console = Console(stderr=True)
    about = f"{label}: {doing}, up to {roughly(expected_seconds)} the first time"
    try:
        return _spin(process, console, about) if console.is_terminal else _log(process, console, label, doing, about)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def run_watched(command: Sequence[str], label: str, expected_seconds: int, *, doing: str, **environment: str) -> None:
    """Run a command with progress. RuntimeError, which ends with what the command said, when it fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        code = watch(process, label, expected_seconds, doing=doing)
        if code != 0:
            log.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed with {code}:\n{''.join(log.readlines()[-30:])}")


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


def _log(process: subprocess.Popen[bytes], console: Console, label: str, doing: str, about: str) -> int:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    started = last = time.monotonic()
    say(about)
    while (code := process.poll()) is None:
        time.sleep(_POLL)
        now = time.monotonic()
        if now - last >= PLAIN_LINE_EVERY:
            say(f"{label}: still {doing}, {now - started:.0f} s")
            last = now
    say(f"{label}: {'done' if code == 0 else 'failed'} after {time.monotonic() - started:.0f} s")
    return code
