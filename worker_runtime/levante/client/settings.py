"""Where the API is, and with which key it is called: for the client and for the command line.

Arguments come first, then the environment, then `.env` in the working directory, as for workers. LEVANTE_API_KEY is sent to
whatever server is named. MISTRAL_API_KEY may be the vendor's own key, which is worth much elsewhere: it is sent to this
machine and to a server that was named, and never to the vendor, who is no Levante server. On this machine, the key that the
host leaves in its data directory goes before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from levante.client.errors import ClientMisconfigured, InvalidServerUrl
from levante_core.protocol.local_key import DATA_DIRECTORY, ENV_FILE, LOCAL_KEY, data_directory, read_local_key

DEFAULT_SERVER_URL = "http://127.0.0.1:8700"
"""Where `levante dev` listens."""

SERVER_URL_VARIABLES = ("LEVANTE_SERVER_URL", "SERVER_URL")
API_KEY = "LEVANTE_API_KEY"
VENDOR_API_KEY = "MISTRAL_API_KEY"
VENDOR_DOMAIN = "mistral.ai"

HOW_TO_GET_A_KEY = (
    f"`levante dev` leaves the first one in {DATA_DIRECTORY / LOCAL_KEY}, which is found from the directory it runs in; "
    "`levante keys create` makes more"
)
NO_KEY = f"no API key: set {API_KEY} ({HOW_TO_GET_A_KEY})"


@dataclass(frozen=True, slots=True)
class Connection:
    """An address without a slash at its end, and a key. key_source: the variable that the key is from, or `an argument`."""

    server_url: str
    api_key: str = field(repr=False)
    key_source: str

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        return is_loopback(urlsplit(self.server_url).hostname or "")


def read_connection(
    server_url: str | None = None, api_key: str | None = None, environment: Mapping[str, str] = os.environ
) -> Connection:
    """Take what is given, else what the environment or `.env` says. Raises: InvalidServerUrl, ClientMisconfigured."""
    known = _Variables(environment, _in_file())
    named = server_url or known.server_url
    url = _checked_url(named or DEFAULT_SERVER_URL)
    key, source = _key(url, api_key, known, is_named=named is not None)
    if not key:
        raise ClientMisconfigured(NO_KEY)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ClientMisconfigured(f"the API key from {source} holds characters that no key has: copy it again")
    return Connection(url, key, source)


def local_data_directory() -> Path:
    """Return where a host on this machine keeps its data, by the environment or `.env`. Raises: ClientMisconfigured."""
    return _Variables(os.environ, _in_file()).data_directory


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_vendor_key(url: str) -> None:
    """Raises: ClientMisconfigured for an address of the vendor's, which MISTRAL_API_KEY is not sent to."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == VENDOR_DOMAIN or host.endswith(f".{VENDOR_DOMAIN}"):
        raise ClientMisconfigured(
            f"{host} is the vendor's, and {VENDOR_API_KEY} is not sent there: set LEVANTE_SERVER_URL to a Levante server"
        )


@dataclass(frozen=True, slots=True)
class _Variables:
    """Variables of the environment, which come first, and those of `.env`."""

    environment: Mapping[str, str]
    in_file: Mapping[str, str]

    @property
    def server_url(self) -> str | None:
        """The server, by any of its names."""
        places = (self.environment, self.in_file)
        return next((url for place in places for name in SERVER_URL_VARIABLES if (url := place.get(name))), None)

    @property
    def data_directory(self) -> Path:
        """Where a host on this machine keeps its data."""
        return data_directory({**self.in_file, **{name: value for name, value in self.environment.items() if value}})

    def key(self, name: str) -> tuple[str, str]:
        """Return a key and where it is from; an empty key if it is nowhere."""
        if key := self.environment.get(name, "").strip():
            return key, name
        return self.in_file.get(name, "").strip(), f"{name} in {ENV_FILE}"


def _in_file() -> Mapping[str, str]:
    """Raises: ClientMisconfigured, which says nothing of what `.env` holds."""
    if not Path(ENV_FILE).exists():
        return {}
    from levante.encoding.settings import unreadable, variables_in_file  # noqa: PLC0415 - commands without `.env` do without

    try:
        return variables_in_file()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientMisconfigured(unreadable(error)) from None


def _key(url: str, api_key: str | None, known: _Variables, *, is_named: bool) -> tuple[str, str]:
    """Return a key and where it is from; an empty one where there is none. Raises: ClientMisconfigured."""
    if api_key and api_key.strip():
        return api_key.strip(), "an argument"
    ours = known.key(API_KEY)
    if ours[0]:
        return ours
    is_here = is_loopback(urlsplit(url).hostname or "")
    if is_here and (local := read_local_key(known.data_directory)):
        return local, str(known.data_directory / LOCAL_KEY)
    theirs, source = known.key(VENDOR_API_KEY)
    if theirs:
        check_vendor_key(url)
    return (theirs if is_named or is_here else ""), source


def _checked_url(given: str) -> str:
    url = given.strip()
    try:
        parts = urlsplit(url)
        is_usable = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and url.isprintable())
    except ValueError:
        is_usable = False
    if not is_usable or " " in url or not url.isascii():
        raise InvalidServerUrl(f"{url!r} is no address such as {DEFAULT_SERVER_URL}")
    return url.rstrip("/")
