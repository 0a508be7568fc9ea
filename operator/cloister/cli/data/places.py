"""Where data lies: in a store, under a key, and on this machine, below a folder.

What stores refuse in a key is refused here already, and with more words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloister import objectkeys
from cloister.cli.errors import UserError
from cloister.cli.printable import printable
from cloister.spec.storage import FIELDS
from cloister.zones import STORES, Component


@dataclass(frozen=True)
class Place:
    """A key, or the beginning of keys, in one store."""

    store: Component
    key: str

    def __str__(self) -> str:
        return printable(f"{self.store}/{self.key}" if self.key else str(self.store))

    @property
    def bucket(self) -> str:
        """Each store has one, of its own name."""
        return str(self.store)

    @property
    def field(self) -> str:
        """Where the resource says who may do what here."""
        return f"spec.storage.{FIELDS[self.store]}"

    def below(self, rest: str) -> "Place":
        """A place whose key begins with this one's."""
        return Place(self.store, self.key + rest)


def place(text: str) -> Place:
    """Reads `STORE/PREFIX`; the prefix may be empty and may end anywhere."""
    name, _, key = text.partition("/")
    if name not in STORES:
        raise UserError(f"{printable(text)}: begins with no store: name one of {', '.join(STORES)}, then / and a key")
    _check(key, whole=False)
    return Place(Component(name), key)


def whole(found: Place) -> Place:
    """The same place, if it is the key of an object."""
    if not found.key or found.key.endswith("/"):
        raise UserError(f"{found}: is no key of an object: it is empty or ends in '/'")
    _check(found.key, whole=True)
    return found


def inside(folder: Path, relative: str) -> Path:
    """Where the object of this relative key belongs below a folder; an error if that were anywhere else.

    Links that lie in the folder already are followed, and their targets judged.
    """
    if objectkeys.ambiguous(relative) or "\0" in relative:
        raise UserError(f"{printable(relative)}: this key makes no path below {folder}: fetch it alone, with -o FILE")
    path = folder.joinpath(*relative.split("/"))
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{printable(relative)}: {path.parent} leads out of {folder} by a link: remove the link")
    return path


def check_apart(keys: Iterable[str]) -> None:
    """An error if one key would have to be a file and another's folder, which a disk can't hold."""
    found = set(keys)
    for key in sorted(found):
        parts = key.split("/")
        for count in range(1, len(parts)):
            if (above := "/".join(parts[:count])) in found:
                raise UserError(
                    f"{printable(above)}: is an object, and so is {printable(key)}: one path can't be file and folder;"
                    " fetch them one by one, with -o FILE"
                )


def is_folder(path: Path) -> bool:
    """Whether a folder is there; UserError where nothing can be, such as under a name that is too long."""
    try:
        return path.is_dir()
    except OSError as error:
        raise UserError(f"{printable(str(path))}: {error.strerror or error}") from error


def _check(key: str, *, whole: bool) -> None:
    if objectkeys.ambiguous(key, whole=whole):
        raise UserError(
            f"{printable(key)}: a key has no empty segment, none that is '.' or '..', and none that begins with"
            " .rclone_temp_ or .rclone_multipart_upload_"
        )
    if character := objectkeys.misread(key):
        raise UserError(
            f"{printable(key)}: has the character {character.encode('unicode_escape').decode()}, which no store takes"
            " in a key: rename it. (Letters must be in Unicode's composed form, NFC, as `convmv -t utf8 --nfc` makes"
            " them.)"
        )
    if len(key.encode()) > objectkeys.MAX_BYTES:
        raise UserError(f"{printable(key)}: is longer than the {objectkeys.MAX_BYTES} bytes that a key may have")
