"""Masking of Parquet: the object is written anew, some rows at a time, with the same columns and other values.

The same object gives the same bytes each time, so that ranges of two reads belong together. Text is masked as text is,
value by value. Whole numbers that are payment cards become as many nines, whatever type of number they are kept in (as
a double, the nearest to that); a telephone or social security number that is kept as a number has no form by which it
could be told from any other, and stays.
"""

import io
import struct
from collections import Counter
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


def mask_parquet(source: BinaryIO, target: BinaryIO, kinds: frozenset[Kind]) -> Counter[str]:
    """Write `source`, masked, to `target`; returns how many values were masked, by kind.

    Unmaskable: not Parquet, encrypted, or with columns that can't be masked. OSError: it can't be written, or read.

    The copy is as large as the object, if it would be smaller: then what lists say of its size is true for both.
    """
    masking = _Masking(kinds)
    masking.write(source, target)
    _pad(target, source.seek(0, io.SEEK_END))
    return masking.found


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


class _Masking:
    """Of one file."""

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self._kinds = kinds
        self.found: Counter[str] = Counter()

    def write(self, source: BinaryIO, target: BinaryIO) -> None:
        """All but the room that is left."""
        try:
            # Column by column in small reads: a row group may be larger than the memory that there is.
            file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 18)
            # What describes the columns may quote their values (pandas keeps an index there): it does not go along.
            schema = pa.schema([_bare(field) for field in file.schema_arrow])
            if find(schema.to_string(truncate_metadata=False).encode(), self._kinds):
                raise Unmaskable("a name of its columns holds a value")
            with pq.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                    columns = [self._array(column) for column in batch.columns]
                    writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        except (pa.ArrowException, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the system's own, as when a disk is full
            raise Unmaskable(f"it can't be read as Parquet: {error}"[:300]) from None

    def _array(self, array: Any) -> Any:
        """The same array with other values; whatever its type is, none is passed that is not known."""
        kind = array.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._texts(array)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return self._numbers(array)
        if pa.types.is_struct(kind):
            fields = [self._array(array.field(number)) for number in range(kind.num_fields)]
            return pa.StructArray.from_arrays(fields, fields=list(_bare_type(kind)), mask=array.is_null())
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
            # By way of Python values: offsets of slices and nulls are arrow's own affair.
            return pa.array(self._nested(array.to_pylist()), type=_bare_type(kind))
        if pa.types.is_dictionary(kind):
            return self._array(array.dictionary_decode()).dictionary_encode().cast(kind)
        if any(check(kind) for check in _PLAIN):
            return array
        raise Unmaskable(f"a column of type {kind} can't be masked")

    def _texts(self, array: Any) -> Any:
        # Columns of text repeat themselves: each value is looked at once.
        values = array.to_pylist()
        known = {value: value and self._text(value, times) for value, times in Counter(values).items()}
        return pa.array([known[value] for value in values], type=array.type)

    def _text(self, value: str, times: int = 1) -> str:
        data, found = value.encode(), Counter[str]()
        masked = mask_block(data, 0, len(data), Format.TEXT, self._kinds, found)
        for kind, number in found.items():
            self.found[kind] += number * times
        return masked.decode()

    def _numbers(self, array: Any) -> Any:
        # Narrower ones have no room for a card. pandas keeps whole numbers with gaps as doubles, databases as decimals.
        if Kind.CARD not in self._kinds or array.type.bit_width < 64:
            return array
        return pa.array(map(self._number, array.to_pylist()), type=array.type)

    def _number(self, value: Any) -> Any:
        """Another value of the same type, where this one is a card."""
        if value is None or not _SMALLEST_CARD <= value < _TOO_LARGE or value != int(value):
            return value
        text = str(int(value))
        if not CHECKS[Kind.CARD](text.encode()):
            return value
        self.found[Kind.CARD.value] += 1
        return type(value)("9" * min(len(text), 18))

    def _nested(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case bool():
                return value
            case int() | float() | Decimal():
                return self._number(value) if Kind.CARD in self._kinds else value
            case list():
                return [self._nested(item) for item in value]
            case tuple():
                return tuple(self._nested(item) for item in value)
            case dict():
                return {key: self._nested(item) for key, item in value.items()}
            case bytes():
                raise Unmaskable("a column of bytes can't be masked")
        return value


_PLAIN = (pa.types.is_null, pa.types.is_boolean, pa.types.is_temporal)


def _bare(field: pa.Field) -> pa.Field:
    """A column without what is said about it, itself and what lies in it."""
    return pa.field(field.name, _bare_type(field.type), nullable=field.nullable)


def _bare_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([_bare(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_bare(kind.key_field), _bare(kind.item_field), keys_sorted=kind.keys_sorted)
    if pa.types.is_large_list(kind):
        return pa.large_list(_bare(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_bare(kind.value_field))
    return kind
