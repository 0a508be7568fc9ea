"""`python -m tests.auditor.faulty CONFIG`: the auditor as it is, with a fault at one of its stages now and then.

The program itself knows nothing of this: what is wrapped here are its functions, from outside.
"""

import asyncio
import errno
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from cloister.auditor import __main__ as program
from cloister.auditor.exchange import Inspector
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.upstream import Connection
from cloister.journal import files, writer

STAGES = ("received", "validated", "appended", "synced", "forwarded", "first-byte", "event", "end")
DISK = ("create", "write", "sync", "sync_all", "rename", "sync_directory", "truncate")

Fault = Callable[[], None]


def strike(name: str, chance: float) -> Fault:
    """Kills or stops this process, at the latest after 1 / ``chance`` calls, so that it does happen."""
    number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[name]
    calls = itertools.count(1)
    at = [random.randint(1, round(1 / chance))]

    def fault() -> None:
        if (call := next(calls)) >= at[0]:
            at[0] = call + random.randint(1, round(2 / chance))
            os.kill(os.getpid(), number)

    return fault


def after(owner: type, name: str, fault: Fault) -> None:
    """Lets the fault happen after each call of a method."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            fault()

    setattr(owner, name, wrapped)


def before(owner: type, name: str, fault: Fault) -> None:
    """Lets the fault happen before each call of a method."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        fault()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def install(stage: str, fault: Fault) -> None:
    """Puts a fault at a stage."""
    match stage:
        case "received":
            before(Inspector, "serve", fault)
        case "validated":
            after(Inspector, "_check", fault)
        case "appended":
            after(files.OsFiles, "write", fault)
        case "synced":
            after(files.OsFiles, "sync", fault)
        case "forwarded":
            # The request is written in the same turn of the loop, and the fault comes with the next.
            before(Connection, "send", lambda: _soon(fault))
        case "first-byte":
            after(Connection, "on_headers_complete", fault)
        case "event":
            after(Downstream, "_write", fault)
        case "end":
            after(Downstream, "_served", fault)


def _soon(fault: Fault) -> None:
    asyncio.get_running_loop().call_soon(fault)


class FailingFiles(files.OsFiles):
    """A disk that is full, or broken, now and then."""

    number = errno.EIO
    chance = 0.0

    def _fails(self) -> bool:
        return random.random() < self.chance

    def _fail(self) -> None:
        if self._fails():
            raise OSError(self.number, os.strerror(self.number))

    def create(self, path: Path) -> int:
        """May fail."""
        self._fail()
        return super().create(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """May write a part, and then fail."""
        if self._fails():
            super().write(fd, data[: random.randrange(len(data) + 1)])
            raise OSError(self.number, os.strerror(self.number))
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        """May fail."""
        self._fail()
        super().sync(fd)

    def sync_all(self, fd: int) -> None:
        """May fail."""
        self._fail()
        super().sync_all(fd)

    def truncate(self, fd: int, size: int) -> None:
        """May fail."""
        self._fail()
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        """May fail."""
        self._fail()
        super().rename(source, target)

    def sync_directory(self, path: Path) -> None:
        """May fail."""
        self._fail()
        super().sync_directory(path)


def main() -> int:
    """The auditor's own `main`, after the faults of the environment are in place."""
    fault, chance = os.environ["FAULT"], float(os.environ["CHANCE"])
    if fault in ("ENOSPC", "EIO"):
        FailingFiles.number, FailingFiles.chance = getattr(errno, fault), chance
        setattr(writer, "OsFiles", FailingFiles)  # noqa: B010 - the name is not the module's to give
    else:
        install(os.environ["STAGE"], strike(fault, chance))
    return program.main()


if __name__ == "__main__":
    sys.exit(main())
