"""What the keeper does where objects lie in an object store: it moves none, and removes those that are past their time.

In an object store nothing can be put in place on condition that nothing else is there (rclone has no such call), so a
copy under a new key could replace what a client has just written. Objects stay under the key that they were first
written under, until they are removed.
"""

from cloister import keyring
from cloister.jobs.keeper.rclone import Rclone
from cloister.jobs.keeper.rotation import TEMPORARY
from cloister.keyring import Keyring

_OBJECTS = {"FilterRule": [f"- {TEMPORARY}*"]}


class Bucket:
    """The objects of a store in an object store."""

    def __init__(self, rclone: Rclone) -> None:
        self._rclone = rclone

    def remove_expired(self, keys: Keyring, seconds: int) -> None:
        """Remove every object that was written this long ago. Its time is the server's own: auditors pass on none of
        a client's where objects are only ever added."""
        try:
            self._rclone.delete((keyring.remote(key.id) for key in keys.keys), _OBJECTS | {"MinAge": f"{seconds}s"})
        finally:
            self._rclone.forget_everything()

    def emptied(self, old: int) -> bool:
        """Whether nothing lies under an old key. Then its mark goes too, so that the keyring need not open it."""
        remote = keyring.remote(old)
        if self._rclone.count(remote, _OBJECTS):
            return False
        self._rclone.delete([remote], {"FilterRule": [f"+ {TEMPORARY}*", "- *"]})
        return True
