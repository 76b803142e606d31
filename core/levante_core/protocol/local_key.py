"""What the one-machine host and those who work with it on that machine agree on: where keys and settings are, and names."""

import re
from collections.abc import Mapping
from pathlib import Path

DATA_DIRECTORY = Path(".levante")
DATA_VARIABLE = "LEVANTE_DATA"
ENV_FILE = ".env"
"""Variables in the working directory; those of the environment go before them."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
LOCAL_KEY = "api-key"
"""Name of the file, in the data directory."""
LOCAL_KEY_NAME = "local"
"""Of the key among those of the API."""


def data_directory(environment: Mapping[str, str]) -> Path:
    """Return the host's data directory, as the environment says."""
    return Path(environment.get(DATA_VARIABLE) or DATA_DIRECTORY)


def read_local_key(directory: Path) -> str | None:
    """Return the key, if it is there and can be read."""
    try:
        return (directory / LOCAL_KEY).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def default_deployment(target: str) -> str:
    """Name a deployment by the file or module that is served: `shop/checkout.py` and `shop.checkout` give `checkout`."""
    path = target.partition(":")[0].removesuffix(".py")
    name = _NOT_IN_NAMES.sub("-", re.split(r"[./\\]", path)[-1]).strip("-_")
    return name[:64] or "dev"
