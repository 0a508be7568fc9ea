"""An object store of the user's: another rclone, which asks for credentials, behind TLS of an authority of its own."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.ports import answers, choosing, free
from tests.gate.identities import Authority
from tests.store.running import Mounted, until

BUCKET = "llm-data"
ID, SECRET = "AKIDOFTHETESTS", "its-secret-access-key"


@dataclass
class Elsewhere:
    """It runs, and keeps objects as files."""

    folder: Path
    endpoint: str
    authority: str

    def credentials(self, **changes: str) -> dict[str, str]:
        """What the Secret in the storage zone holds."""
        return {"access_key_id": ID, "secret_access_key": SECRET, "ca.crt": self.authority} | changes

    def reach(self, mounted: Mounted, credentials: Mapping[str, str] | None = None) -> None:
        """Let a store find it: only the address is another than the rendered one."""
        mounted.replaced["RCLONE_CONFIG_BACKEND_ENDPOINT"] = self.endpoint
        mounted.give(credentials or self.credentials())

    def files(self) -> list[Path]:
        """What it keeps."""
        return [path for path in (self.folder / BUCKET).rglob("*") if path.is_file()]


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Such a store, with an empty bucket; ended always."""
    with tempfile.TemporaryDirectory(prefix="elsewhere-") as name:
        root, authority = Path(name), Authority("an object store's CA")
        (root / "objects" / BUCKET).mkdir(parents=True)
        certificate, key = authority.issue(hosts=("localhost",)).write(root, "server")
        with choosing(), (root / "log").open("wb") as log:
            port = free(["s3"])["s3"]
            command = [str(binaries.path("rclone")), "serve", "s3", str(root / "objects")]
            command += ["--addr", f"localhost:{port}", "--cert", str(certificate), "--key", str(key)]
            command += ["--auth-key", f"{ID},{SECRET}", "--config", "/dev/null", "--cache-dir", str(root / "cache")]
            server = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                until(lambda: answers(port) or server.poll() is not None, "the object store")
            except BaseException:
                server.kill()
                raise
        try:
            yield Elsewhere(root / "objects", f"https://localhost:{port}", authority.pem)
        finally:
            server.terminate()
            server.wait(30)
