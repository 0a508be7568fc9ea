"""An honest journal, and a forger who edits its segments as a script of bytes tells: past the checksums, too."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import orjson

from cloister.journal import JournalWriter, encode, timestamp
from cloister.journal.segment import CLEAR, CRC_SIZE, LENGTH_SIZE, MAGIC, TAG_SIZE
from cloister.sealing import Kind, generate

IDENTITY = "spiffe://cluster.local/ns/bot-inference/sa/inference"
KEY = generate(Kind.X25519)

Parts = list[bytes]
"""A segment: its first two lines, then each frame as it lies."""


class Script:
    """Reads numbers and bytes off an input; zeros when it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, size: int) -> bytes:
        """The next bytes, perhaps fewer."""
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self, below: int) -> int:
        """Of two bytes."""
        return int.from_bytes(self.take(2), "big") % max(below, 1)

    def text(self) -> bytes:
        """One byte tells how long it is."""
        return self.take(self.number(256))


def honest(directory: Path) -> list[bytes]:
    """Three segments: one that was ended, one whose writer was killed, one that was ended."""
    now = [1000.0]

    def writer() -> JournalWriter:
        return JournalWriter(directory, identity=IDENTITY, recipients=[KEY.public], max_age_s=10, clock=lambda: now[0])

    def alert(message: str) -> bytes:
        time = timestamp(0)
        return encode({"type": "alert", "time": time, "code": "c", "severity": "info", "message": message})

    with writer() as first:
        first.append([alert("a"), alert("b")])
        first.append([alert("c")])
    killed = writer()
    killed.append([alert("d")])
    os.close(killed._lock)
    with writer() as last:
        last.append([alert("e")])
    return [path.read_bytes() for path in sorted(directory.rglob("*.sealed"))]


def parts_of(segment: bytes) -> Parts:
    """Takes an honest segment apart."""
    at = segment.index(b"\n", len(MAGIC)) + 1
    parts = [segment[:at]]
    while at < len(segment):
        end = at + LENGTH_SIZE + int.from_bytes(segment[at : at + LENGTH_SIZE], "big")
        parts.append(segment[at:end])
        at = end
    return parts


def whole(frame: bytes) -> bytes:
    """The frame with a length and a checksum that fit."""
    inside = frame[LENGTH_SIZE:-CRC_SIZE]
    frame = (len(inside) + CRC_SIZE).to_bytes(LENGTH_SIZE, "big") + inside
    return frame + zlib.crc32(frame).to_bytes(CRC_SIZE, "big")


def forge(parts: Parts, others: Parts, script: Script) -> Parts:
    """Edits until the script ends, at most eight times."""
    for _ in range(8):
        if not script or not parts:
            break
        edit = _EDITS[script.number(len(_EDITS))]
        place = script.number(len(parts))
        edited = edit(parts, place, others, script)
        if place and place < len(edited) and len(edited[place]) >= CLEAR.size + CRC_SIZE and script.number(4) != 3:
            edited[place] = whole(edited[place])
        parts = edited
    return parts


def _flip(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    part = bytearray(parts[place])
    if part:
        part[script.number(len(part))] ^= script.number(255) + 1
    return [*parts[:place], bytes(part), *parts[place + 1 :]]


def _field(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    part = parts[place]
    if not place or len(part) < CLEAR.size + CRC_SIZE:
        return parts
    values = list(CLEAR.unpack(part[: CLEAR.size]))
    field = script.number(6)
    small, wide = script.number(4) - 1, int.from_bytes(script.take(8), "big")
    bits = (32, 8, 32, 64, 32)
    if field == 5:
        values[5] = script.take(32).ljust(32, b"\0")
    else:
        values[field] = (wide if small < 0 else values[field] + small) % 2 ** bits[field]
    return [*parts[:place], CLEAR.pack(*values) + part[CLEAR.size :], *parts[place + 1 :]]


def _delete(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    return [*parts[:place], *parts[place + 1 :]]


def _repeat(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    at = script.number(len(parts) + 1)
    return [*parts[:at], parts[place], *parts[at:]]


def _swap(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    other = script.number(len(parts))
    swapped = list(parts)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    return swapped


def _foreign(parts: Parts, place: int, others: Parts, script: Script) -> Parts:
    return [*parts[:place], others[script.number(len(others))], *parts[place + script.number(2) :]]


def _splice(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    part = parts[place]
    start = script.number(len(part) + 1)
    return [*parts[:place], part[:start] + script.text() + part[start + script.number(64) :], *parts[place + 1 :]]


def _cut_short(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    return [*parts[:place], parts[place][: script.number(len(parts[place]) + 1)], *parts[place + 1 :]]


def _other_closing(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    """An end becomes a cut, which bears no tag, or the other way about."""
    part, last = parts[-1], parts[:-1]
    if not last or len(part) < CLEAR.size + TAG_SIZE + CRC_SIZE:
        return parts
    if part[LENGTH_SIZE] == 1:
        return [*last, whole(part[:LENGTH_SIZE] + b"\2" + part[LENGTH_SIZE + 1 : -TAG_SIZE - CRC_SIZE] + bytes(4))]
    return [*last, whole(part[:LENGTH_SIZE] + b"\1" + part[LENGTH_SIZE + 1 : -CRC_SIZE] + bytes(TAG_SIZE + 4))]


def _more_note(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    """Lines after the signature, as a log's witnesses would add them."""
    part, more = parts[-1], script.text() or "— witness AAAAAAAA\n".encode()
    return [*parts[:-1], whole(part[:-CRC_SIZE] + more + bytes(CRC_SIZE))] if len(parts) > 1 else parts


def _header(parts: Parts, place: int, _: Parts, script: Script) -> Parts:
    """One field of the header, or of something in it, is another."""
    try:
        value = orjson.loads(parts[0][len(MAGIC) :])
    except orjson.JSONDecodeError:
        return parts
    if not isinstance(value, dict) or not value:
        return parts
    inside = value
    names = sorted(inside)
    name = names[script.number(len(names))]
    if script.number(3) == 0 and isinstance(inside[name], dict) and inside[name]:
        inside = inside[name]
        name = sorted(inside)[script.number(len(inside))]
    text = script.text()
    try:
        inside[name] = orjson.loads(text)
    except orjson.JSONDecodeError:
        inside[name] = inside[name] + 1 if isinstance(inside[name], int) else text.decode("latin-1")
    return [MAGIC + orjson.dumps(value, option=orjson.OPT_SORT_KEYS) + b"\n", *parts[1:]]


_EDITS: tuple[Callable[[Parts, int, Parts, Script], Parts], ...] = (
    _flip,
    _field,
    _delete,
    _repeat,
    _swap,
    _foreign,
    _splice,
    _cut_short,
    _other_closing,
    _more_note,
    _header,
)
