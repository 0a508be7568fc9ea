"""pydantic models of LLMDeployment: the only reader of raw dicts."""

from cloister.spec.audit import Audit
from cloister.spec.backend import Backend, Provider
from cloister.spec.deployment import (
    EXCUSABLE,
    Access,
    ControlException,
    LLMDeployment,
    Spec,
)
from cloister.spec.export import Export
from cloister.spec.fields import (
    DeletionPolicy,
    MaskKind,
    Method,
    Role,
    UserToken,
    is_pinned,
    milli,
    seconds,
)
from cloister.spec.identity import Identity, UserRule, Users
from cloister.spec.parsing import SpecError, parse
from cloister.spec.problems import Problem
from cloister.spec.storage import Principal, Reader, Storage, Store, Writer
from cloister.spec.unenforced import UNENFORCED
from cloister.spec.weights import UnsealKey, WeightsModel
from cloister.spec.workload import Api, Client, Inference, PodShape, Training

__all__ = [
    "EXCUSABLE",
    "UNENFORCED",
    "Access",
    "Api",
    "Audit",
    "Backend",
    "Client",
    "ControlException",
    "DeletionPolicy",
    "Export",
    "Identity",
    "Inference",
    "LLMDeployment",
    "MaskKind",
    "Method",
    "PodShape",
    "Principal",
    "Problem",
    "Provider",
    "Reader",
    "Role",
    "Spec",
    "SpecError",
    "Storage",
    "Store",
    "Training",
    "UserRule",
    "UserToken",
    "Users",
    "UnsealKey",
    "WeightsModel",
    "Writer",
    "is_pinned",
    "milli",
    "parse",
    "seconds",
]
