"""The three pairs of keys that the example's users make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloister.sealing import (
    Kind,
    SecretKey,
    SigningKey,
    generate,
    generate_signing,
    read_secrets,
    read_signing,
    write_secret,
)


@dataclass(frozen=True)
class Keys:
    """The secret halves, in files of one folder."""

    folder: Path

    def make(self) -> None:
        """Make what is missing."""
        for name, made in (
            ("audit", generate),
            ("unseal", lambda: generate(Kind.X25519)),
            ("release", generate_signing),
        ):
            if not (self.folder / f"{name}.key").exists():
                write_secret(self.folder / f"{name}.key", made())

    @property
    def audit(self) -> SecretKey:
        """Opens the records."""
        (found,) = read_secrets(self.folder / "audit.key")
        return found

    @property
    def unseal(self) -> SecretKey:
        """Opens the weights."""
        (found,) = read_secrets(self.folder / "unseal.key")
        return found

    @property
    def release(self) -> SigningKey:
        """Signs them."""
        return read_signing(self.folder / "release.key")
