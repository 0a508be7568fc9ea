"""Who may do what to which keys: the flow table's grants, asked for each query."""

from collections.abc import Iterable
from dataclasses import dataclass

from cloister import sidecar
from cloister.auditor.s3 import keys
from cloister.auditor.s3.errors import denied, no_such_key
from cloister.auditor.s3.queries import Query
from cloister.s3 import Level


@dataclass(frozen=True, slots=True)
class Permission:
    """That a query may be done, and how."""

    masked: tuple[str, ...] = ()
    """Kinds of values that the caller must not see."""
    new_only: bool = False
    """Whether the object must not be there yet."""
    folders: tuple[str, ...] | None = None
    """The whole answer to a listing above what the caller may read."""


class Rights:
    """Of every caller in every bucket. What nothing here allows is denied."""

    def __init__(self, buckets: Iterable[sidecar.Bucket]) -> None:
        self._access = {(access.identity, bucket.name): access for bucket in buckets for access in bucket.access}

    def buckets(self, identity: str) -> list[str]:
        """Those in which a caller has rights to objects."""
        return sorted(
            name
            for (holder, name), access in self._access.items()
            if holder == identity and (access.reads or access.writes)
        )

    def permission(self, identity: str, query: Query) -> Permission:
        """What allows a query; a Refusal if nothing does."""
        access = self._access.get((identity, query.bucket))
        if query.operation.level is Level.SERVICE:
            if not self.buckets(identity):
                raise _denied()
            return Permission()
        if access is None:
            raise _denied()
        match query.name:
            case "HeadBucket":
                if not (access.reads or access.writes):
                    raise _denied()
                return Permission()
            case "ListObjects" | "ListObjectsV2":
                return _listing(access, query)
            case "GetObject" | "HeadObject":
                return _read(access, query)
            case "PutObject" if keys.below(query.key, access.appends):
                return Permission(new_only=True)
            case "DeleteObjects":
                if not access.writes:
                    raise _denied()
                return Permission()  # each key is checked once the body is read
            case _:
                self.check_write(identity, query.bucket, query.key)
                return Permission()

    def check_write(self, identity: str, bucket: str, key: str) -> None:
        """A Refusal unless the caller may put and delete this key."""
        access = self._access.get((identity, bucket))
        if access is None or not keys.below(key, access.writes):
            raise _denied()


def _read(access: sidecar.Access, query: Query) -> Permission:
    granting = [read for read in access.reads if query.key in read.objects or keys.below(query.key, read.prefixes)]
    if granting:
        return Permission(_masked(granting))
    if any(prefix.startswith(f"{query.key}/") for read in access.reads for prefix in read.prefixes):
        # A folder on the way to what the caller may read: clients ask whether it is an object. It could be none.
        raise no_such_key()
    raise _denied()


def _listing(access: sidecar.Access, query: Query) -> Permission:
    granting = [read for read in access.reads if keys.below(query.prefix, read.prefixes)]
    if granting:
        return Permission(_masked(granting))
    way_down = {
        query.prefix + prefix.removeprefix(query.prefix).partition("/")[0] + "/"
        for read in access.reads
        for prefix in read.prefixes
        if prefix.startswith(query.prefix)
    }
    if way_down and query.parameters.get("delimiter") == "/":
        return Permission(folders=tuple(sorted(way_down)))
    raise denied("Listings are allowed below the prefixes that the caller may read: name one of them as the prefix.")


def _masked(granting: list[sidecar.Read]) -> tuple[str, ...]:
    """Where several grants cover a key, the strictest counts."""
    return tuple(sorted({kind for read in granting for kind in read.masked}))


def _denied() -> Exception:
    return denied("The caller has no right to this.")
