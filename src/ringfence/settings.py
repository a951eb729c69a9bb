"""What an operator can set: frozen sections, each field with a name, a default and a help line.

Every field is an environment variable: `RINGFENCE_HOME`, `RINGFENCE_SERVER__PORT`, `RINGFENCE_LIMITS__UPLOAD_BYTES`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ringfence.errors import InvalidError
from ringfence.paths import DEFAULT_PORT, default_environments, default_home, default_policies


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Section):
    """Where the API listens."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535, description="TCP port to listen on.")
    threads: int = Field(default=64, ge=4, le=1024, description="Requests that may be worked on at once.")
    connections: int = Field(default=1000, ge=1, description="Connections that may be open at once; more get 503.")

    @property
    def url(self) -> str:
        """Return where clients on this machine find the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"


class LimitSettings(_Section):
    """What one request may cost."""

    request_bytes: int = Field(default=2 << 20, ge=1024, description="Largest body of an ordinary request.")
    upload_bytes: int = Field(default=64 << 30, ge=1024, description="Largest raw file.")
    bundle_bytes: int = Field(default=1 << 30, ge=1024, description="Largest simulator bundle.")
    body_seconds: float = Field(default=30.0, gt=0, description="Longest time for an ordinary request's body.")
    idle_seconds: float = Field(default=30.0, gt=0, description="Longest silence within an upload.")


class AuditSettings(_Section):
    """Where the audit trail goes besides the database."""

    file: bool = Field(default=True, description="Also write it as JSON lines into platform/audit of the home folder.")
    file_bytes: int = Field(default=64 << 20, ge=64 << 10, description="Size at which that file is rotated.")


class WorkerSettings(_Section):
    """How jobs are worked on."""

    lease_seconds: float = Field(default=30.0, ge=1, description="How long a silent worker keeps its job.")
    poll_seconds: float = Field(default=0.2, gt=0, description="How often an idle worker looks for a job.")


class Settings(BaseSettings):
    """Everything. Built once, by a process's entry point."""

    model_config = SettingsConfigDict(env_prefix="RINGFENCE_", env_nested_delimiter="__", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home, description="Folder that holds everything the platform keeps.")
    database_url: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the home folder.")
    environments: Path = Field(default_factory=default_environments,
                               description="Folder with one Python environment per kind of workload.")
    policies: Path = Field(default_factory=default_policies, description="Folder of the shipped Rego rules.")
    project: str = Field(default="default", description="Project that accounts and resources belong to.")
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    audit: AuditSettings = AuditSettings()

    @property
    def platform_folder(self) -> Path:
        """Return the folder of the control plane: database, keys, objects, certificates, logs."""
        return self.home / "platform"

    @property
    def resolved_database_url(self) -> str:
        """Return the database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{self.platform_folder / 'ringfence.db'}"


def load() -> Settings:
    """Return the settings of this process.

    Raises:
        InvalidError: a variable has a value that its field can't take.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = "RINGFENCE_" + "__".join(str(part) for part in first["loc"]).upper()
        raise InvalidError("settings.invalid", f"{name} can't be used: {first['msg']}.", field=name,
                           fix="Correct or unset the variable.") from error
