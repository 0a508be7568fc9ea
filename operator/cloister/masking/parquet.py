"""Masking of Parquet: the object is written anew, some rows at a time, with the same columns and other values.

The same object gives the same bytes each time, so that ranges of two reads belong together. Text is masked as text is,
value by value. Whole numbers that are payment cards become as many nines, whatever type of number they are kept in (as
a double, the nearest to that); a telephone or social security number that is kept as a number has no form by which it
could be told from any other, and stays.
"""

import io
import struct
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from cloister.masking.detect import find
from cloister.masking.formats import Format
from cloister.masking.kinds import CHECKS, Kind
from cloister.masking.text import Unmaskable, mask_block

BATCH_ROWS = 1 << 13
"""Rows in memory at once; they become a row group of their own."""
_SMALLEST_CARD, _TOO_LARGE = 10**12, 10**19
_FOOTER = struct.Struct("<I4s")


def mask_parquet(source: BinaryIO, target: BinaryIO, kinds: frozenset[Kind]) -> None:
    """Write `source`, masked, to `target`. Unmaskable: not Parquet, encrypted, or with columns that can't be masked.

    The copy is as large as the object, if it would be smaller: then what lists say of its size is true for both.
    """
    _write(source, target, kinds)
    _pad(target, source.seek(0, io.SEEK_END))


def _pad(target: BinaryIO, size: int) -> None:
    """Room before the footer, whose place is told from the end (Parquet format, "File format")."""
    room = size - target.seek(0, io.SEEK_END)
    if room <= 0:
        return
    target.seek(-_FOOTER.size, io.SEEK_END)
    length, _ = _FOOTER.unpack(target.read(_FOOTER.size))
    begin = target.seek(-(length + _FOOTER.size), io.SEEK_END)
    footer = target.read()
    target.seek(begin)
    while room:
        room -= target.write(bytes(min(room, 1 << 20)))
    target.write(footer)


def _write(source: BinaryIO, target: BinaryIO, kinds: frozenset[Kind]) -> None:
    try:
        # Column by column in small reads: a row group may be larger than the memory that there is.
        file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 18)
        # What describes the columns may quote their values (pandas keeps an index there): it does not go along.
        schema = file.schema_arrow.remove_metadata()
        if find(str(schema).encode(), kinds):
            raise Unmaskable("a name of its columns holds a value")
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                columns = [_array(column, kinds) for column in batch.columns]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    except (pa.ArrowException, OSError, EOFError) as error:
        raise Unmaskable(f"it can't be read as Parquet: {error}"[:300]) from None


def _array(array: Any, kinds: frozenset[Kind]) -> Any:
    """The same array with other values; whatever its type is, none is passed that is not known."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(array, kinds)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _numbers(array, kinds)
    if pa.types.is_struct(kind):
        fields = [_array(array.field(number), kinds) for number in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=array.is_null())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        # By way of Python values: offsets of slices and nulls are arrow's own affair.
        return pa.array(_nested(array.to_pylist(), kinds), type=kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, _array(array.dictionary, kinds)).cast(kind)
    if any(check(kind) for check in _PLAIN):
        return array
    raise Unmaskable(f"a column of type {kind} can't be masked")


_PLAIN = (pa.types.is_null, pa.types.is_boolean, pa.types.is_temporal)


def _texts(array: Any, kinds: frozenset[Kind]) -> Any:
    # Columns of text repeat themselves: each value is looked at once.
    known: dict[str | None, str | None] = {}
    for value in array.unique().to_pylist():
        known[value] = value if value is None else _text(value, kinds)
    return pa.array([known[value] for value in array.to_pylist()], type=array.type)


def _text(value: str, kinds: frozenset[Kind]) -> str:
    data = value.encode()
    return mask_block(data, 0, len(data), Format.TEXT, kinds).decode()


def _numbers(array: Any, kinds: frozenset[Kind]) -> Any:
    # Narrower ones have no room for a card: pandas keeps a column of them with gaps as doubles, databases as decimals.
    if Kind.CARD not in kinds or array.type.bit_width < 64:
        return array
    return pa.array([_number(value) for value in array.to_pylist()], type=array.type)


def _number(value: Any) -> Any:
    """Another value of the same type, where this one is a card."""
    if value is None or not _SMALLEST_CARD <= value < _TOO_LARGE or value != int(value):
        return value
    text = str(int(value))
    return type(value)("9" * min(len(text), 18)) if CHECKS[Kind.CARD](text.encode()) else value


def _nested(value: Any, kinds: frozenset[Kind]) -> Any:
    match value:
        case str():
            return _text(value, kinds)
        case bool():
            return value
        case int() | float() | Decimal():
            return _number(value) if Kind.CARD in kinds else value
        case list():
            return [_nested(item, kinds) for item in value]
        case tuple():
            return tuple(_nested(item, kinds) for item in value)
        case dict():
            return {key: _nested(item, kinds) for key, item in value.items()}
        case bytes():
            raise Unmaskable("a column of bytes can't be masked")
    return value
