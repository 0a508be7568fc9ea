"""Configuration of the process, from environment variables that begin with CLOISTER_."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cloister import facts
from cloister.addresses import Network
from cloister.controller.addresses import Reach
from cloister.controller.oidc import Trust

_DEFAULTS = facts.Settings()
_OUTSIDE = r"([0-9.]+|\[[0-9a-f:]+\]):[0-9]{1,5}"


def _listed(text: object) -> object:
    """A list in an environment variable, with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


class Settings(BaseSettings):
    """What the chart sets; the defaults suit a run on a developer's machine."""

    model_config = SettingsConfigDict(env_prefix="CLOISTER_", frozen=True)

    namespace: str = "cloister-system"
    """The operator's own namespace: its Lease lies there."""
    service_account: str = "cloister"
    guards: dict[str, dict[str, str]] = {}
    """Digests of the admission policies that were installed with this operator (JSON); none: they were not."""
    image: str = _DEFAULTS.image
    gate_image: str = _DEFAULTS.gate_image
    store_image: str = _DEFAULTS.store_image
    cert_manager_namespace: str = _DEFAULTS.cert_manager_namespace
    resync_seconds: Annotated[float, Field(ge=1)] = 300.0
    """Everything is listed and compared at least this often."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    leader_election: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8081

    canary_interval_seconds: Annotated[float, Field(ge=10)] = 3600.0
    """How often canaries prove again that nothing but the flow table passes."""
    canary_internet: Annotated[str, Field(pattern=rf"^({_OUTSIDE}(,{_OUTSIDE})*)?$")] = (
        "1.1.1.1:443,[2606:4700:4700::1111]:443"
    )
    """Addresses outside the cluster that they must not reach, with commas; empty: none is tried. Those of IPv6 are
    tried where pods have one."""

    issuer_refresh_seconds: Annotated[float, Field(ge=1)] = 300.0
    """How often an identity provider's keys are fetched again. Until then a withdrawn key stays in force."""
    issuer_ca_bundle: Path | None = None
    """Certificates of further authorities that identity providers' certificates may be signed by."""
    issuer_allowed_cidrs: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Networks that identity providers may be in although they are the operator's own, or a metadata service's."""

    def trust(self, api_server: tuple[str, ...]) -> Trust:
        """Whom the operator believes when it fetches keys, and where it may call."""
        return Trust(Reach(api_server, self.issuer_allowed_cidrs), self.issuer_ca_bundle)

    def for_rendering(self) -> facts.Settings:
        """The part that decides how objects look."""
        return facts.Settings(
            image=self.image,
            gate_image=self.gate_image,
            store_image=self.store_image,
            cert_manager_namespace=self.cert_manager_namespace,
        )
