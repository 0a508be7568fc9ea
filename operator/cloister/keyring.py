"""A store's keyring, and the rclone configuration that follows from it.

A keyring is the file `keyring.json` of a Secret: its keys by ascending version, and which of them new objects are
written under. Each version has a directory of its own on the volume and a crypt remote over it (rclone documentation,
"Crypt"). While more than one is there, a union serves them all: new objects are created under the current key alone;
reading, overwriting and deleting reach each object wherever it lies.
"""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE = "keyring.json"
"""Name of the one entry of a keyring Secret."""
SERVED = "store"
"""Name of the rclone remote that is served."""

_Password = Annotated[str, Field(min_length=20, max_length=1024, repr=False)]


class KeyringError(ValueError):
    """A keyring can't be used. The message has no part of it."""


class KeyVersion(BaseModel):
    """One version: what rclone derives its keys from, by scrypt."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: Annotated[int, Field(ge=1, lt=1_000_000)]
    created: datetime
    password: _Password
    salt: _Password


class Keyring(BaseModel):
    """All versions that objects may lie under."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Annotated[int, Field(ge=1, le=1)] = 1
    """Of this format."""
    current: int
    """Key of new objects."""
    keys: Annotated[tuple[KeyVersion, ...], Field(min_length=1, max_length=8)]

    @model_validator(mode="after")
    def _consistent(self) -> "Keyring":
        ids = [key.id for key in self.keys]
        if ids != sorted(set(ids)) or self.current != ids[-1]:
            raise ValueError("ids must ascend, and the last key must be the current one")
        return self

    @property
    def old(self) -> tuple[int, ...]:
        """Versions that nothing is written under any more, newest first."""
        return tuple(key.id for key in reversed(self.keys) if key.id != self.current)

    def with_new(self, key: KeyVersion) -> "Keyring":
        """The same keys, and a new current one."""
        return Keyring(current=key.id, keys=(*self.keys, key))

    def without(self, retired: frozenset[int]) -> "Keyring":
        """The keyring when some old keys are destroyed; the current one never is."""
        return Keyring(
            current=self.current,
            keys=tuple(key for key in self.keys if key.id == self.current or key.id not in retired),
        )


def parse(text: str | bytes) -> Keyring:
    """Read `keyring.json`.

    Raises:
        KeyringError: It is not a keyring; the message names fields, never values.
    """
    try:
        return Keyring.model_validate_json(text)
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or FILE}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_context=False, include_url=False)
        )
        raise KeyringError("; ".join(faults)) from None


def remote(version: int) -> str:
    """Name of the rclone remote of one key."""
    return f"sealed-{version}"


def served(keyring: Keyring) -> str:
    """Name of the remote that is served under :data:`SERVED`: that of the only key, or the union of all."""
    return "-over-".join([remote(keyring.current), *map(str, keyring.old)])


def rclone_conf(keyring: Keyring, data: str) -> str:
    """rclone's configuration over the volume that is mounted at ``data``."""
    sections = {remote(key.id): _crypt(key, data) for key in keyring.keys}
    if keyring.old:
        upstreams = [f"{remote(keyring.current)}:", *(f"{remote(old)}::nc" for old in keyring.old)]
        sections[served(keyring)] = {
            "type": "union",
            "upstreams": " ".join(upstreams),
            "action_policy": "epall",  # what is deleted is deleted under every key
            "create_policy": "ff",
            "search_policy": "ff",
        }
    sections[SERVED] = {"type": "alias", "remote": f"{served(keyring)}:"}
    return _ini(sections)


def _crypt(key: KeyVersion, data: str) -> dict[str, str]:
    """Names are encrypted as well as contents, in base64: segments of a key may then have up to 175 bytes."""
    return {
        "type": "crypt",
        "remote": f"{data}/{key.id}",
        "filename_encryption": "standard",
        "filename_encoding": "base64",
        "directory_name_encryption": "true",
        "password": obscure(key.password, f"password-{key.id}"),
        "password2": obscure(key.salt, f"salt-{key.id}"),
    }


def _ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
        for section, settings in sections.items()
    )


_RCLONE_OBSCURE_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""Fixed and public in rclone (fs/config/obscure): it keeps a password from a glance, not from a reader."""


def obscure(text: str, label: str) -> str:
    """A password in the form that rclone's configuration demands: AES-CTR under rclone's public key.

    The initialisation vector need be neither secret nor random here: it comes from a label, and the result is always
    the same.
    """
    vector = label.encode().ljust(16, b".")[:16]
    encryptor = Cipher(algorithms.AES(_RCLONE_OBSCURE_KEY), modes.CTR(vector)).encryptor()
    sealed = vector + encryptor.update(text.encode()) + encryptor.finalize()
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
