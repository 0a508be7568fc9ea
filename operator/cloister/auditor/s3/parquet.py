"""`python -m cloister.auditor.s3.parquet SOURCE TARGET KIND...`: masks one file in a process of its own.

What it reads is somebody else's data in a format that takes a large library to read: neither that library's memory nor
its faults belong into the auditor.
"""

import resource
import sys
from pathlib import Path

from cloister.masking import Kind, Unmaskable

MEMORY_BYTES = 384 << 20
UNMASKABLE = 3
"""Exit code of a file that can't be masked; standard error says why."""


def main(arguments: list[str]) -> int:
    """Masks what the arguments name."""
    source, target, *kinds = arguments
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    # Only here: the auditor itself never loads it.
    import pyarrow as pa  # noqa: PLC0415

    from cloister.masking.parquet import mask_parquet  # noqa: PLC0415

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with Path(source).open("rb") as original, Path(target).open("w+b") as copy:
            mask_parquet(original, copy, frozenset(map(Kind, kinds)))
    except Unmaskable as error:
        sys.stderr.write(str(error))
        return UNMASKABLE
    except MemoryError:
        sys.stderr.write(f"it takes more than {MEMORY_BYTES >> 20} MiB of memory to read")
        return UNMASKABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
