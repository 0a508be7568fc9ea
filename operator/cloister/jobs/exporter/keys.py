"""What the user has put into the exporter's Secret. Read again each time, so that a change needs no restart."""

import ssl
from pathlib import Path

from cloister.jobs.exporter.batches import SecretError, webhook_secrets
from cloister.sealing import SealingError, SecretKey, read_secrets
from cloister.sidecar import ExportReason

_MAX_BYTES = 1 << 20


class KeysError(Exception):
    """Something in the Secret is missing, or can't be used."""

    def __init__(self, reason: ExportReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Keys:
    """The entries of the Secret, as files."""

    def __init__(self, folder: Path, public_key: str) -> None:
        self._folder, self._public_key = folder, public_key

    def journal(self) -> list[SecretKey]:
        """What opens the journal: the private half of the declared key is among it."""
        path = self._folder / "key"
        if not path.exists():
            raise KeysError("ExportKeyMissing", f"{path} is not there")
        try:
            found = read_secrets(path)
        except SealingError as error:
            raise KeysError("ExportKeyUnusable", str(error)) from None
        if self._public_key not in {str(key.public) for key in found}:
            raise KeysError("ExportKeyWrong", f"{path} is not the private half of spec.audit.export.publicKey")
        return found

    def webhook(self) -> list[bytes]:
        """By which batches are signed."""
        try:
            return webhook_secrets(self._text("webhook") or "")
        except SecretError as error:
            raise KeysError("WebhookSecretUnusable", f"{self._folder / 'webhook'}: {error}") from None

    def authorization(self) -> str | None:
        """The header of that name, for OTLP."""
        text = (self._text("authorization") or "").strip()
        if not text.isprintable() or not text.isascii():
            raise KeysError("AuthorizationUnusable", f"{self._folder / 'authorization'} is not one line of ASCII")
        return text or None

    def trust(self) -> ssl.SSLContext:
        """A TLS context that verifies sinks."""
        path = self._folder / "ca.crt"
        try:
            context = ssl.create_default_context(cafile=str(path) if path.exists() else None)
        except OSError as error:  # SSLError is one
            raise KeysError("AuthorityUnusable", f"{path} can't be read: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _text(self, name: str) -> str | None:
        path = self._folder / name
        try:
            return path.read_bytes()[:_MAX_BYTES].decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise KeysError("SecretUnreadable", f"{path} can't be read: {error}") from None
