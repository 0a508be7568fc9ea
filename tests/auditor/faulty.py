"""`python -m tests.auditor.faulty CONFIG`: the auditor as it is, with a fault at one of its stages now and then.
Killed, it lives again; stopped, it is woken.

The program itself knows nothing of this: what is wrapped here are its functions, from outside.
"""

import asyncio
import ctypes
import errno
import itertools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from cloister.auditor import __main__ as program
from cloister.auditor import inference  # noqa: F401 - loaded once, before all lives, and not when each knows its need
from cloister.auditor.exchange import Inspector
from cloister.auditor.http.downstream import Downstream
from cloister.auditor.http.upstream import Connection
from cloister.journal import files, writer

STAGES = ("received", "validated", "appended", "synced", "forwarded", "first-byte", "event", "end")
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_WAITED_FOR = {signal.SIGTERM, signal.SIGCHLD}
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG"""

Fault = Callable[[], None]


def strike(act: Fault, chance: float) -> Fault:
    """Acts at the latest after 1 / ``chance`` calls, so that it does happen, and again and again."""
    calls = itertools.count(1)
    at = [random.randint(1, round(1 / chance))]

    def fault() -> None:
        if (call := next(calls)) >= at[0]:
            at[0] = call + random.randint(1, round(2 / chance))
            act()

    return fault


def signalling(number: int) -> Fault:
    """Kills or stops this process."""
    return lambda: os.kill(os.getpid(), number)


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
    """A disk that is full, or broken, for its next few operations."""

    number = errno.EIO
    left = 0

    @classmethod
    def begin(cls) -> None:
        """From now on, for a while."""
        cls.left = random.randint(1, 6)

    @classmethod
    def _fails(cls) -> bool:
        if not cls.left:
            return False
        cls.left -= 1
        return True

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
    """Lives of the auditor, one after another, each with its own faults; until SIGTERM ends the last of them.

    Both signals are waited for instead of handled: a handler's work is lost where the signal comes just before a system
    call that waits, and then this would wait for ever.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    parent, counts = os.getpid(), dict.fromkeys(SIGNALS, 0)
    while True:
        child = os.fork()
        if not child:
            return live(parent)
        while not ended(child, counts):
            if signal.sigwait(_WAITED_FOR) == signal.SIGTERM:
                os.kill(child, signal.SIGKILL)
                print(json.dumps(counts), flush=True)
                return 0


def live(parent: int) -> int:
    """The auditor's own `main`, after the faults of the environment are in place. It is a fork, because a new process
    would spend most of its life on imports."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)
    random.seed()
    fault = os.environ["FAULT"]
    if fault in SIGNALS:
        act = signalling(SIGNALS[fault])
    else:
        FailingFiles.number, act = getattr(errno, fault), FailingFiles.begin
        setattr(writer, "OsFiles", FailingFiles)  # noqa: B010 - the name is not the module's to give
    install(os.environ["STAGE"], strike(act, float(os.environ["CHANCE"])))
    return program.main()


def ended(child: int, counts: dict[str, int]) -> bool:
    """Whether the process is dead. One that was stopped is woken after a while."""
    while True:
        pid, status = os.waitpid(child, os.WUNTRACED | os.WNOHANG)
        if not pid:
            return False
        if not os.WIFSTOPPED(status):
            counts["kill"] += os.WIFSIGNALED(status)
            return True
        counts["stop"] += 1
        time.sleep(0.1)
        os.kill(child, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
