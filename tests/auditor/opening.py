"""What is on disk of a journal at this moment, opened with a key: also of a segment that is being written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloister.journal.files import OPEN, SEALED, SHIPPED, segment_files, stream_directories
from cloister.journal.header import wrap_info
from cloister.journal.segment import SegmentReader, open_frame, ratchet
from cloister.sealing import SecretKey


def records(directory: Path, key: SecretKey) -> Iterator[dict[str, Any]]:
    """Every record, in the order of each stream."""
    for stream in stream_directories(directory):
        for path in segment_files(stream, OPEN, SEALED, SHIPPED):
            yield from (json.loads(line)["record"] for line in _lines(path, key))


def _lines(path: Path, key: SecretKey) -> Iterator[bytes]:
    with path.open("rb") as file:
        reader = SegmentReader(file, path.stat().st_size)
        header = reader.header
        (ours,) = (recipient for recipient in header.recipients if recipient.key_id == key.public.key_id)
        state = ours.open(key, wrap_info(header.origin, header.number))
        for frame in reader.frames():
            frame_key, state = ratchet(state)
            yield from open_frame(frame_key, reader.header_hash, frame)
