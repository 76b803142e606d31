"""What the host takes from the environment, or else from `.env` in the working directory."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from levante_core.adapters.otlp_http import ENDPOINT, HEADERS
from levante_core.protocol.local_key import DATA_DIRECTORY, DATA_VARIABLE, ENV_FILE


class HostEnvironment(BaseSettings):
    """Empty ones count as unset."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    data: Path = Field(default=DATA_DIRECTORY, validation_alias=DATA_VARIABLE)
    """Data directory, where no option says it."""
    first_key: SecretStr | None = Field(default=None, validation_alias="LEVANTE_API_KEY")
    """Secret of the first admin key; None has one made up."""
    otlp_endpoint: str | None = Field(default=None, validation_alias=ENDPOINT)
    """Base URL of the collector of traces; None for no collector."""
    otlp_headers: SecretStr | None = Field(default=None, validation_alias=HEADERS)
    """Headers for it, which may hold a key."""

    def of_collector(self) -> dict[str, str]:
        """Return what concerns the collector, by variable."""
        headers = self.otlp_headers.get_secret_value() if self.otlp_headers else ""
        return {name: value for name, value in ((ENDPOINT, self.otlp_endpoint), (HEADERS, headers)) if value}
