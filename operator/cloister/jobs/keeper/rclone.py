"""rclone's remote control (rclone documentation, "Remote controlling rclone with its API"), over its unix socket."""

import http.client
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cloister.jobs.unixhttp import UnixConnection

_SECONDS = 30.0
"""How long rclone may take for what needs no time, before it counts as away."""


class RcloneError(Exception):
    """rclone has refused. The message never has key material: commands carry names alone."""


class RcloneAwayError(RcloneError):
    """rclone does not run, ended before it answered, or hangs."""


class Rclone:
    """The running rclone of this pod."""

    def __init__(self, control: Path) -> None:
        self._control = str(control)

    def call(self, method: str, /, *, long: bool = False, **parameters: Any) -> dict[str, Any]:
        """Run one command, and wait for its end; `long`: however long it takes.

        Raises:
            RcloneError: It did not succeed.
            RcloneAwayError: Nothing is known of its end.
        """
        connection = UnixConnection(self._control, "rclone", timeout=None if long else _SECONDS)
        try:
            connection.request("POST", f"/{method}", json.dumps(parameters), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RcloneAwayError(f"{method}: {type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise RcloneError(f"{method}: {answer.status}: {_reason(body)}")
        found: dict[str, Any] = json.loads(body or b"{}")
        return found

    def serves(self) -> list[str]:
        """Names of the remotes that are served now; empty when rclone is away."""
        try:
            return [name.removesuffix(":") for name in self.call("vfs/list")["vfses"]]
        except RcloneError:
            return []

    def quit(self) -> None:
        """End it: the kubelet starts it again, with the configuration that is there then."""
        self.call("core/quit")

    def encode(self, remote: str, *plain: str) -> list[str]:
        """Paths of objects as they lie on the volume, below the directory of that key."""
        return self._names("encode", remote, plain)

    def decode(self, remote: str, *sealed: str) -> list[str]:
        """The way back.

        Raises:
            RcloneError: Some path is not from that key.
        """
        return self._names("decode", remote, sealed)

    def copy(self, source: str, name: str, target: str, new_name: str) -> None:
        """Copy an object from one remote to another. rclone reads back what it wrote (its crypt remote)."""
        self.call(
            "operations/copyfile", long=True,
            srcFs=f"{source}:", srcRemote=name, dstFs=f"{target}:", dstRemote=new_name,
        )  # fmt: skip

    def delete(self, remotes: Iterable[str], rules: dict[str, Any]) -> None:
        """Delete from each remote what the filter's rules name. A failure is raised when every remote had its turn."""
        failed: RcloneError | None = None
        for remote in remotes:
            try:
                self.call("operations/delete", long=True, fs=f"{remote}:", _filter=rules)
            except RcloneError as error:
                failed = failed or error
        if failed:
            raise failed

    def count(self, remote: str, rules: dict[str, Any]) -> int:
        """How many objects of a remote the filter's rules name."""
        return int(self.call("operations/size", long=True, fs=f"{remote}:", _filter=rules)["count"])

    def read_directory(self, directory: str) -> None:
        """See to it that the server knows what is in a directory, without looking."""
        self.call("vfs/refresh", dir=directory)

    def forget_directory(self, directory: str) -> None:
        """See to it that the server looks again."""
        self.call("vfs/forget", dir=directory)

    def forget_everything(self) -> None:
        """The same for every directory."""
        self.call("vfs/forget")

    def _names(self, command: str, remote: str, names: tuple[str, ...]) -> list[str]:
        result = self.call("backend/command", command=command, fs=f"{remote}:", arg=list(names))["result"]
        if not isinstance(result, list) or len(result) != len(names):
            raise RcloneError(f"{command}: rclone answered for {len(result or ())} of {len(names)} names")
        return [str(name) for name in result]


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"
