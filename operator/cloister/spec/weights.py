"""`spec.inference.model`: which weights are served, who must have signed them, and how they are opened."""

import re
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from cloister.spec.fields import AbsolutePath, DnsName, Model, ObjectKey, Sha256, Size, cel, rules
from cloister.spec.problems import refused_if

SIGNATURE_SUFFIX = ".sig"
"""The signature of an object lies beside it, under its name and this."""
SEALED_SUFFIX = ".sealed"
"""What `cloister seal` adds to a file's name, and what goes again when it is opened."""

PUBLIC_KEY_PATTERN = (
    "^(cloister-pub-ed25519:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
    "|-----BEGIN PUBLIC KEY-----\n"
    "(MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"  # RFC 5480: P-256, P-384 and P-521, each uncompressed
    "|MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE"
    "|MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQ)"
    "[A-Za-z0-9+/=\n]{80,200}\n-----END PUBLIC KEY-----\n?)$"
)
MAX_PUBLIC_KEY = 512
PEM_BEGIN = "-----BEGIN "

HOW_TO_SIGN = (
    "give the public key that `cloister keys generate --kind ed25519` prints, or the PEM of the elliptic curve key"
    " (P-256, P-384, P-521) by which model-signing has signed"
)
_CLOISTERS_OWN = "cloister-"


def _public_key(text: str) -> str:
    if not re.fullmatch(PUBLIC_KEY_PATTERN.removesuffix("$"), text):
        raise PydanticCustomError("public_key", "is no public key for signatures: {how}", {"how": HOW_TO_SIGN})
    return text


PublicKey = Annotated[
    str,
    AfterValidator(_public_key),
    Field(
        min_length=1,
        max_length=MAX_PUBLIC_KEY,
        json_schema_extra={
            "pattern": PUBLIC_KEY_PATTERN,
            **rules(
                cel(
                    f"self.startsWith('cloister-pub-ed25519:') || self.startsWith('{PEM_BEGIN}')",
                    f"no public key for signatures: {HOW_TO_SIGN}",
                )
            ),
        },
    ),
]


class UnsealKey(Model):
    """A Secret in the inference zone, put there by a writer that the chart allows; only fetch mounts it."""

    name: DnsName = Field(description="Name of the Secret; its entry `key` is the file of `cloister keys generate`.")


class WeightsModel(Model):
    """The weights that the fetch container brings from the checkpoints store before the server starts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "(has(self.sealed) && self.sealed) == has(self.unsealKeyRef)",
                "sealed: true and unsealKeyRef belong together: give both or neither",
            ),
        )
    )

    object: ObjectKey = Field(description="Key in the checkpoints store.")
    sha256: Sha256 = Field(
        description="Digest of the object as it is stored, hexadecimal; anything else stops the pod."
    )
    mount_path: AbsolutePath = Field(
        "/models",
        description="Where the server finds it, read-only, under the object's own name (of a sealed object without"
        " `.sealed`).",
    )
    size: Size = Field("20Gi", description="Size limit of the volume that holds it.")
    memory: bool = Field(
        False,
        description="Keeps the weights in memory, never on the node's disk. They count against the server's memory"
        " limit.",
    )
    public_key: PublicKey | None = Field(
        None,
        description="Key that must have signed the object as it is stored: Ed25519 (`cloister sign`), or the PEM of an"
        " elliptic curve key (model-signing). The signature lies beside the object, under its name and `.sig`. Missing"
        " or wrong, it stops the pod.",
    )
    sealed: bool = Field(
        False, description="Whether the object was sealed by `cloister seal`; one that is not stops the pod."
    )
    unseal_key_ref: UnsealKey | None = Field(None, description="The secret key that opens the sealed object.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        return refused_if(self, self._problems())

    def _problems(self) -> Iterator[tuple[str, str]]:
        at = "spec.inference.model"
        if self.sealed and self.unseal_key_ref is None:
            yield f"{at}.unsealKeyRef", "is required with sealed: true: name the Secret with the key that opens it"
        if self.unseal_key_ref and not self.sealed:
            yield (
                f"{at}.sealed",
                "must be true with unsealKeyRef: otherwise the object is served as it is stored",
            )
        if self.unseal_key_ref and self.unseal_key_ref.name.startswith(_CLOISTERS_OWN):
            yield (
                f"{at}.unsealKeyRef.name",
                f"{self.unseal_key_ref.name!r}: names that begin with {_CLOISTERS_OWN} are Cloister's own: choose"
                " another",
            )

    @property
    def signature(self) -> str | None:
        """Key of the signature in the checkpoints store; None where none is asked for."""
        return f"{self.object}{SIGNATURE_SUFFIX}" if self.public_key else None

    @property
    def file(self) -> str:
        """Path of the weights as the server sees them."""
        name = self.object.rsplit("/", 1)[-1]
        opened = name.removesuffix(SEALED_SUFFIX) if self.sealed else name
        return f"{self.mount_path}/{opened or name}"
