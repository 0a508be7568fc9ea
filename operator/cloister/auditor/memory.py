"""What is remembered of callers over restarts: one file on the journal's volume, replaced as a whole.

It holds habits and counts, no word of what was said. Subjects, devices and networks stand in it as keyed digests; the
key lies beside it, so whoever has the volume can test a guess, but finds no name.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import orjson
import structlog

from cloister.inspection.behaviour import Behaviour
from cloister.inspection.behaviour.profile import Profile, restored
from cloister.kept import KeptFile, private

VERSION = 1
_KEY, _FILE = "behaviour.key", "behaviour.jsonl"
_log = structlog.get_logger()


class Memory:
    """The file, and the pseudonyms under which it keeps things."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._file = KeptFile(directory / _FILE)
        self._key = _key(directory / _KEY)
        self.pseudonym = lru_cache(8192)(self._pseudonym)
        self._lines: dict[str, bytes] = {}

    def _pseudonym(self, kind: str, value: str) -> str:
        """The same for the same value, and of no use without the key."""
        text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=12).hexdigest()

    def recall(self, behaviour: Behaviour) -> str | None:
        """Gives back what was kept; what was wrong with it, if anything. Then nothing of it counts."""
        try:
            kept = list(_read(self._file.read()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("what was known of callers is lost", path=str(self._file.path), error=str(error))
            return f"{type(error).__name__}: {error}"
        for subject, profile, line in kept:
            behaviour.restore(subject, profile)
            self._lines[subject] = line
        return None

    def encode(self, behaviour: Behaviour, most: int) -> None:
        """Writes down so many of the changed profiles, in memory: a little at a time, so that nobody waits."""
        for _ in range(min(most, len(behaviour.changed))):
            subject = behaviour.changed.pop()
            if profile := behaviour.profile(subject):
                self._lines[subject] = orjson.dumps([subject, profile.document()])
        if len(self._lines) > 2 * behaviour.bound:
            kept = {subject for subject, _ in behaviour.profiles()}
            self._lines = {subject: line for subject, line in self._lines.items() if subject in kept}

    def lines(self, behaviour: Behaviour) -> list[bytes]:
        """The file's content as it is now."""
        kept = [self._lines[subject] for subject, _ in behaviour.profiles() if subject in self._lines]
        return [orjson.dumps({"version": VERSION, "profiles": len(kept)}), *kept]

    def save(self, lines: Iterable[bytes]) -> None:
        """Replaces the file; OSError. May run in a thread."""
        self._file.replace(b"\n".join(lines))


def _read(raw: bytes) -> Iterator[tuple[str, Profile, bytes]]:
    first, *lines = raw.split(b"\n")
    header = orjson.loads(first)
    if header["version"] != VERSION:
        raise ValueError(f"version {header['version']} is not known here")
    if header["profiles"] != len(lines):
        raise ValueError(f"{len(lines)} profiles are there, not {header['profiles']}")
    for line in lines:
        subject, document = orjson.loads(line)
        yield str(subject), restored(document), line


def _key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = b""
    if len(key) == 32:
        return key
    key = secrets.token_bytes(32)
    with private(path) as file:
        file.write(key)
    return key
