"""What a StorageClass tells about the disks behind it."""

from collections.abc import Mapping
from typing import Any

from cloister import names

_ENCRYPTED = f"{names.GROUP}/encrypted"
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_PARAMETERS = ("encrypted", "kmsKeyId", "disk-encryption-kms-key", "diskEncryptionSetID", "secure")
"""Parameters by which common CSI drivers (EBS, GCE PD, Azure Disk, Longhorn, Portworx) are told to encrypt."""


def encrypts(storage_class: Mapping[str, Any]) -> bool:
    """Whether it is known to encrypt: by its driver's parameters, or by an administrator's annotation."""
    if (storage_class["metadata"].get("annotations") or {}).get(_ENCRYPTED) == "true":
        return True
    parameters = storage_class.get("parameters") or {}
    return any(str(parameters.get(name, "false")).lower() not in ("false", "") for name in _PARAMETERS)


def is_default(storage_class: Mapping[str, Any]) -> bool:
    """Whether claims that name no class get this one."""
    return bool((storage_class["metadata"].get("annotations") or {}).get(_DEFAULT) == "true")
