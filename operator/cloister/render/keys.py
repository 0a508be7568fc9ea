"""Keyrings: the keys under which each store keeps its objects.

Not among what :func:`cloister.render.render` returns: a key is made once, of random material that the caller brings,
and is never overwritten, since losing it loses what lies under it.
"""

from cloister import keyring, names
from cloister.keyring import Keyring
from cloister.render.meta import Object, child
from cloister.spec import LLMDeployment
from cloister.zones import Component


def keyring_secret(deployment: LLMDeployment, store: Component, keys: Keyring) -> Object:
    """The Secret of a store's keyring."""
    secret = child(deployment, "v1", "Secret", names.keyring(store), zone=store.zone, component=store)
    return secret | {"type": "Opaque", "stringData": {keyring.FILE: keys.model_dump_json()}}
