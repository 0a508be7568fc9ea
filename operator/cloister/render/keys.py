"""Keyrings: the keys under which each store keeps its objects.

Not among what :func:`cloister.render.render` returns: a keyring is made once, of random material that the caller
brings, and is never overwritten, since losing it loses the store.
"""

import base64
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cloister import names
from cloister.render.meta import Object, child
from cloister.sidecar import DATA_DIR
from cloister.spec import LLMDeployment
from cloister.zones import Component

SERVED = "store"
"""Name of the rclone remote that is served."""


def keyring_secret(deployment: LLMDeployment, store: Component, password: str, salt: str) -> Object:
    """The keyring of a store: version 1 of its keys, and the rclone configuration that uses them."""
    secret = child(deployment, "v1", "Secret", names.keyring(store), zone=store.zone, component=store)
    keyring = {"version": 1, "current": 1, "keys": [{"id": 1, "password": password, "salt": salt}]}
    return secret | {
        "type": "Opaque",
        "stringData": {
            "keyring.json": json.dumps(keyring),
            "rclone.conf": _rclone_conf(store, password, salt),
        },
    }


def _rclone_conf(store: Component, password: str, salt: str) -> str:
    """A crypt remote over a directory of the volume (rclone documentation, "Crypt"). Names are encrypted as well as
    contents, in base64: keys may then have 143 bytes and more between two slashes."""
    sealed = {
        "type": "crypt",
        "remote": f"{DATA_DIR}/1",
        "filename_encryption": "standard",
        "filename_encoding": "base64",
        "directory_name_encryption": "true",
        "password": obscure(password, store),
        "password2": obscure(salt, store),
    }
    return _ini({"sealed-1": sealed, SERVED: {"type": "alias", "remote": "sealed-1:"}})


def _ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
        for section, settings in sections.items()
    )


_RCLONE_OBSCURE_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
"""Fixed and public in rclone (fs/config/obscure): it keeps a password from a glance, not from a reader."""


def obscure(text: str, store: Component) -> str:
    """A password in the form that rclone's configuration demands: AES-CTR under rclone's public key.

    The initialisation vector need not be secret or random here, so it is derived, to keep rendering pure.
    """
    vector = names.keyring(store).encode().ljust(16, b".")[:16]
    encryptor = Cipher(algorithms.AES(_RCLONE_OBSCURE_KEY), modes.CTR(vector)).encryptor()
    sealed = vector + encryptor.update(text.encode()) + encryptor.finalize()
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
