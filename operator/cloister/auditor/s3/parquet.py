"""`python -m cloister.auditor.s3.parquet SOURCE TARGET ROOM KIND...`: masks one file in a process of its own, and
prints how many values it has masked.

What it reads is somebody else's data in a format that takes a large library to read: neither that library's memory nor
its faults belong into the auditor. A few bytes may stand for more than any disk holds, so its time is bounded too, and
what it writes (ROOM bytes).
"""

import errno
import json
import resource
import sys
from pathlib import Path

from cloister.masking import Kind, Unmaskable

MEMORY_BYTES = 384 << 20
CPU_SECONDS, CPU_SECONDS_PER_MEGABYTE = 120, 10
"""Some eight times what it takes."""
UNMASKABLE, NO_FAULT_OF_THE_FILE = 3, 4
"""Exit codes; standard error says why. The first: it never will be masked. The other: perhaps at another time."""


def main(arguments: list[str]) -> int:
    """Masks what the arguments name."""
    source, target, room, *kinds = arguments
    _limit(resource.RLIMIT_DATA, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, CPU_SECONDS + CPU_SECONDS_PER_MEGABYTE * (Path(source).stat().st_size >> 20))
    _limit(resource.RLIMIT_FSIZE, int(room))
    # Only here: the auditor itself never loads it.
    import pyarrow as pa  # noqa: PLC0415

    from cloister.masking.parquet import mask_parquet  # noqa: PLC0415

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with Path(source).open("rb") as original, Path(target).open("w+b") as copy:
            found = mask_parquet(original, copy, frozenset(map(Kind, kinds)))
    except Unmaskable as error:
        sys.stderr.write(str(error))
        return UNMASKABLE
    except MemoryError:
        sys.stderr.write(f"it takes more than {MEMORY_BYTES >> 20} MiB of memory to read")
        return UNMASKABLE
    except OSError as error:
        if error.errno == errno.EFBIG:
            sys.stderr.write(f"its masked copy would be larger than the {room} bytes that there are for it")
            return UNMASKABLE
        sys.stderr.write(str(error))
        return NO_FAULT_OF_THE_FILE
    json.dump(found, sys.stdout)
    return 0


def _limit(what: int, most: int) -> None:
    # The hard limit of time comes with a signal that tells nothing.
    resource.setrlimit(what, (most, most + 1 if what == resource.RLIMIT_CPU else most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
