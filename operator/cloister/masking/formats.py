"""What kind of object it is: its name and its first bytes must agree. What is not known can't be masked."""

from enum import StrEnum

SNIFFED = 4096
"""How many first bytes tell."""


class Format(StrEnum):
    """Formats that can be masked."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


_BY_EXTENSION = {
    Format.TEXT: "txt text md rst log html htm xml yaml yml toml ini cfg conf eml tex srt vtt py js java go c h sh sql",
    Format.JSON: "json jsonl ndjson geojson ipynb",
    Format.CSV: "csv tsv",
    Format.PARQUET: "parquet pq",
}
_FORMATS = {extension: found for found, extensions in _BY_EXTENSION.items() for extension in extensions.split()}
_PARQUET_MAGIC = b"PAR1"


def format_of(key: str, first: bytes) -> Format | None:
    """The format of an object, by the end of its key and its first bytes (up to :data:`SNIFFED`); None where it can't
    be masked. Without an ending that is known nothing can: a binary format may begin like text."""
    name = key.rpartition("/")[2]
    found = _FORMATS.get(name.rpartition(".")[2].lower()) if "." in name else None
    if found is Format.PARQUET:
        return found if first.startswith(_PARQUET_MAGIC) or not first else None
    if found and b"\0" not in first and not first.startswith((b"\xff\xfe", b"\xfe\xff", _PARQUET_MAGIC)):
        return found
    return None
