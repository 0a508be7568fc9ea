"""Secret keys in files: one key a line, `#` begins a comment, as in the key files of age."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cloister.sealing.keys import ED25519, SECRET_PREFIX, Kind, SealingError, SecretKey, decode_key, parse_secret_text
from cloister.sealing.signing import SigningKey, parse_signing

_MAX_FILE = 1 << 20
_T = TypeVar("_T")


def parse_secret(text: str) -> SecretKey:
    """The one secret key in a key file's text."""
    keys = _keys(text, parse_secret_text)
    if len(keys) != 1:
        raise SealingError(f"one secret key is expected, and here are {len(keys)}")
    return keys[0]


def read_secrets(path: Path) -> list[SecretKey]:
    """Every key of a key file, at least one; SealingError names the file."""
    return _read(path, parse_secret_text)


def read_signing(path: Path) -> SigningKey:
    """The one signing key of a key file; SealingError names the file."""
    keys = _read(path, parse_signing)
    if len(keys) != 1:
        raise SealingError(f"{path}: one signing key is expected, and here are {len(keys)}")
    return keys[0]


def read_any(path: Path) -> list[SecretKey | SigningKey]:
    """Every key of a key file, whatever it is for."""
    return _read(path, _parse_any)


def _parse_any(text: str) -> SecretKey | SigningKey:
    kind, _ = decode_key(text, SECRET_PREFIX, (*Kind, ED25519))
    return parse_signing(text) if kind == ED25519 else parse_secret_text(text)


def _read(path: Path, parse: Callable[[str], _T]) -> list[_T]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise SealingError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(text) > _MAX_FILE:
        raise SealingError(f"{path}: not a key file: larger than {_MAX_FILE} bytes")
    try:
        keys = _keys(text.decode(), parse)
    except UnicodeDecodeError:
        raise SealingError(f"{path}: not a key file: not text") from None
    except SealingError as error:
        raise SealingError(f"{path}: {error}") from None
    if not keys:
        raise SealingError(f"{path}: holds no key: `cloister keys generate --out FILE` makes one")
    return keys


def write_secret(path: Path, key: SecretKey | SigningKey) -> None:
    """Write a new key file of mode 0600. An existing file is never touched: SealingError. Nor is half of one left."""
    power = "signs in the name of" if isinstance(key, SigningKey) else "reads what is sealed for"
    text = f"# Cloister secret key. Whoever has it {power}:\n# {key.public}\n{key.text}\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # ours, and no key yet; it would stand in the way of the next try
            raise
    except FileExistsError as error:
        raise SealingError(f"{path}: there is a file already, and a key is never overwritten: name another") from error
    except OSError as error:
        raise SealingError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _keys(text: str, parse: Callable[[str], _T]) -> list[_T]:
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = []
    for number, line in lines:
        if line and not line.startswith("#"):
            try:
                found.append(parse(line))
            except SealingError as error:
                raise SealingError(f"line {number}: {error}") from None
    return found
