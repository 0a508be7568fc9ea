"""Those for whom a secret is wrapped, as they stand in the clear header of a sealed file or segment."""

import base64
import binascii
from typing import Annotated, Literal, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from cloister.sealing.keys import Kind, PublicKey, SealingError, SecretKey, unwrap, wrap

MAX_RECIPIENTS = 16


class Sealed(BaseModel):
    """Strict and without room for anything unknown: what is not understood is not opened."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Recipient(Sealed):
    """One who can open it."""

    key_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
    kem: Literal["mlkem768x25519", "x25519"]
    wrapped: Annotated[str, StringConstraints(max_length=2048)]
    """The secret, wrapped by HPKE; base64."""

    def is_for(self, key: SecretKey) -> bool:
        """Whether `key` should open it."""
        return (self.key_id, Kind(self.kem)) == (key.public.key_id, key.kind)

    def open(self, key: SecretKey, info: bytes) -> bytes:
        """The secret; SealingError if it was wrapped for another key, or under other `info`."""
        return unwrap(base64.b64decode(self.wrapped), key, info)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        try:
            raw = base64.b64decode(self.wrapped, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("a wrapped secret is not base64") from None
        if base64.b64encode(raw).decode() != self.wrapped:
            raise ValueError("a wrapped secret is not in canonical base64")
        return self


Recipients = Annotated[tuple[Recipient, ...], Field(min_length=1, max_length=MAX_RECIPIENTS)]
Header = TypeVar("Header", bound=Sealed)


def wrap_for(keys: tuple[PublicKey, ...], secret: bytes, info: bytes) -> tuple[Recipient, ...]:
    """`secret`, wrapped for each of `keys`; `info` binds it to its place, so that it opens nowhere else."""
    return tuple(
        Recipient(key_id=key.key_id, kem=key.kind.value, wrapped=base64.b64encode(wrap(secret, key, info)).decode())
        for key in keys
    )


def parse_header(model: type[Header], raw: bytes) -> Header:
    """A header from JSON; SealingError says what is wrong unless it is one, in its one canonical form."""
    try:
        canonical = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
        header = model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SealingError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise SealingError("not JSON") from None
    if canonical != raw:
        raise SealingError("not in canonical form")
    return header


def encode_header(header: Sealed) -> bytes:
    """Canonical JSON, which :func:`parse_header` reads."""
    return orjson.dumps(header.model_dump(), option=orjson.OPT_SORT_KEYS)
