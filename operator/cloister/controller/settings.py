"""Configuration of the process, from environment variables that begin with CLOISTER_."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cloister import facts

_DEFAULTS = facts.Settings()


class Settings(BaseSettings):
    """What the chart sets; the defaults suit a run on a developer's machine."""

    model_config = SettingsConfigDict(env_prefix="CLOISTER_", frozen=True)

    namespace: str = "cloister-system"
    """The operator's own namespace: its Lease lies there."""
    service_account: str = "cloister"
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

    def for_rendering(self) -> facts.Settings:
        """The part that decides how objects look."""
        return facts.Settings(
            image=self.image,
            gate_image=self.gate_image,
            store_image=self.store_image,
            cert_manager_namespace=self.cert_manager_namespace,
        )
