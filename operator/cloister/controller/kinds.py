"""The kinds that the operator makes, and those that it only reads: where the API server serves them.

Fixed here rather than discovered, so that a path is never guessed and nothing is asked before it is needed.
"""

from dataclasses import dataclass

from cloister import names


@dataclass(frozen=True)
class Resource:
    """One kind, as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version alone."""
        return self.api_version.rpartition("/")[2]

    @property
    def selector(self) -> str:
        """The label selector by which the API server filters the kind; empty where everything must be seen."""
        return names.LABEL_DEPLOYMENT if self in (*OWNED, CERTIFICATE_REQUEST) and self.kind not in _UNFILTERED else ""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of a collection (no name), of an object, or of its subresource."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [self.plural, name, subresource]
        return "/".join(part for part in parts if part)


_UNFILTERED = {"Namespace", "NetworkPolicy"}
"""Clients live in any namespace, and a foreign policy in a zone carries no label of ours."""

CERT_MANAGER_GROUP = "cert-manager.io"
_CERT_MANAGER = f"{CERT_MANAGER_GROUP}/v1"

OWNED: tuple[Resource, ...] = (
    Resource("v1", "Namespace", "namespaces", namespaced=False),
    Resource("v1", "ResourceQuota", "resourcequotas"),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Resource("v1", "ServiceAccount", "serviceaccounts"),
    Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    Resource(_CERT_MANAGER, "ClusterIssuer", "clusterissuers", namespaced=False),
    Resource(_CERT_MANAGER, "Certificate", "certificates"),
    Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Resource("v1", "Service", "services"),
    Resource("v1", "ConfigMap", "configmaps"),
    Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Resource("apps/v1", "StatefulSet", "statefulsets"),
    Resource("batch/v1", "Job", "jobs"),
    Resource("batch/v1", "CronJob", "cronjobs"),
)
"""Everything that rendering may return."""

DEPLOYMENT = Resource(names.API_VERSION, names.KIND, names.PLURAL, namespaced=False)
CERTIFICATE_REQUEST = Resource(_CERT_MANAGER, "CertificateRequest", "certificaterequests")
STORAGE_CLASS = Resource("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False)
CRD = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
SECRET = Resource("v1", "Secret", "secrets")
"""Read and created by name alone; never listed, never watched."""
POD = Resource("v1", "Pod", "pods")
"""Read while a model server is not ready, and by name for what a keeper reports; never watched."""
ENDPOINT_SLICE = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
"""Read by name: the API server's own."""
_ADMISSION = "admissionregistration.k8s.io/v1"
GUARDS = (
    Resource(_ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False),
    Resource(_ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False),
)
"""Read to know whether the chart's are in force: policies, bindings."""
EVENT = Resource("events.k8s.io/v1", "Event", "events")

BY_KIND = {
    resource.kind: resource
    for resource in (*OWNED, DEPLOYMENT, CERTIFICATE_REQUEST, STORAGE_CLASS, CRD, SECRET, POD, ENDPOINT_SLICE, EVENT)
}

CERT_MANAGER_CRDS = frozenset(
    f"{resource.plural}.{CERT_MANAGER_GROUP}" for resource in BY_KIND.values() if resource.group == CERT_MANAGER_GROUP
)
"""Without them nothing of cert-manager's can be made or read."""
