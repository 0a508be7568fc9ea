"""What auditors need of memory while an object of 4 GB passes: in by a multipart upload of a training program, out
plain to it and masked to a reader, as one stream and in ranges. All of it is text with a value on each page of 4 KB."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from boto3.s3.transfer import TransferConfig

from cloister.zones import Component
from tests.gate.specs import deployment, example
from tests.store.chain import Chain, memory, running_chain, spiffe

SIZE = 4 << 30
LIMIT = 100 << 20
"""Bytes that an auditor may have in memory."""
_STORE, _KEY = Component.CHECKPOINTS, "support-bot/large.txt"
_UP = TransferConfig(multipart_chunksize=64 << 20, max_concurrency=4)
_DOWN = TransferConfig(multipart_chunksize=8 << 20, max_concurrency=10)
_IN_RANGES = "out masked, 10 ranges of 8 MB at a time"
_VALUE = b"Please write to ada@example.com about it. "
_PIECE = (_VALUE + b"and nothing of interest is on the rest of the page. " * 80)[: 4 << 10] * 256
_MASKED = _PIECE.replace(b"ada@example.com", b"*" * 15)


@dataclass(frozen=True)
class Passed:
    """One way of the object."""

    how: str
    seconds: float
    training: int
    """Bytes that the auditor of the training pod has had in memory at most, since it was started."""
    store: int
    """And the auditor of the store."""
    in_ranges: bool
    """Whether many requests for a part of it were under way at a time, which is told but not judged."""


def measured(say: Callable[[str], None]) -> list[Passed]:
    """In the order in which it happened."""
    found: list[Passed] = []
    spec = example("support-bot")
    spec["storage"]["checkpoints"]["readers"][0]["raw"] = False
    with running_chain(deployment(spec)) as chain:
        reader = chain.client(_STORE, spiffe("release", "evaluator"))
        ways: dict[str, Callable[[], None]] = {
            "in by a multipart upload, 4 parts of 64 MB at a time": lambda: _put(chain),
            "out plain": lambda: _get(chain.training(), _PIECE),
            "out masked": lambda: _get(reader, _MASKED),
            _IN_RANGES: lambda: _get_by_ranges(reader),
        }
        for how, way in ways.items():
            say(f"4 GB {how}")
            began = time.perf_counter()
            way()
            took = time.perf_counter() - began
            in_ranges = way is ways[_IN_RANGES]
            found.append(Passed(how, took, _peak(chain, Component.TRAINING), _peak(chain, _STORE), in_ranges))
    return found


def report(found: list[Passed]) -> str:
    """A table in Markdown."""
    lines = [
        "| 4 GB | MB/s | auditor of the training pod, peak MiB | auditor of the store, peak MiB |",
        "|---|---:|---:|---:|",
    ]
    for one in found:
        rate, training, store = (value / (1 << 20) for value in (SIZE / one.seconds, one.training, one.store))
        lines.append(f"| {one.how} | {rate:.0f} | {training:.0f} | {store:.0f} |")
    return "\n".join([*lines, ""])


def _peak(chain: Chain, component: Component) -> int:
    process = chain.auditors[component].process
    assert process
    return memory(process)


def _put(chain: Chain) -> None:
    chain.training().upload_fileobj(_Text(), _STORE, _KEY, Config=_UP)


def _get(client: Any, wanted: bytes) -> None:
    body, size = client.get_object(Bucket=_STORE, Key=_KEY)["Body"], 0
    while piece := body.read(len(wanted)):
        if piece != wanted:
            raise RuntimeError(f"{_KEY}: not what it should be, {size} bytes from its beginning")
        size += len(piece)
    if size != SIZE:
        raise RuntimeError(f"{_KEY}: {size} bytes")


def _get_by_ranges(client: Any) -> None:
    target = _Checked()
    client.download_fileobj(_STORE, _KEY, target, Config=_DOWN)
    if target.size != SIZE:
        raise RuntimeError(f"{_KEY}: {target.size} bytes")


class _Text(io.RawIOBase):
    """The object, made as it is read."""

    _left = SIZE

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Whole pieces, as all who read here ask for."""
        size = min(size, self._left) if size >= 0 else self._left
        self._left -= size
        return _PIECE * (size // len(_PIECE))


class _Checked(io.RawIOBase):
    """Takes the masked object, and holds it to what it should be."""

    size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        """In order, as to whatever can't seek."""
        piece = bytes(data)
        at = self.size % len(_MASKED)
        wanted = _MASKED * (len(piece) // len(_MASKED) + 2)
        if piece != wanted[at : at + len(piece)]:
            raise RuntimeError(f"{_KEY}: not what it should be, {self.size} bytes from its beginning")
        self.size += len(piece)
        return len(piece)
