"""Requests and responses as the HTTP library has them."""

import ssl

import pytest

from levante.client.settings import Connection
from levante.client.transport.http_messages import trusted_by


@pytest.mark.parametrize("address", ["https://shop.example.org", "https://localhost:8700", "http://shop.example.org"])
def test_trust_when_a_server_may_be_spoken_to_with_tls_then_known_authorities_are_believed(address: str) -> None:
    """What is spoken to without TLS may redirect to another host with it."""
    assert len(trusted_by(Connection(address, "key", "given")).get_ca_certs()) > 50


def test_trust_when_the_server_is_on_this_machine_then_nobody_is_believed_and_nothing_is_read() -> None:
    """A redirect to another host fails, rather than to be followed without a look at its certificate."""
    trust = trusted_by(Connection("http://127.0.0.1:8700", "key", "given"))
    assert (trust.get_ca_certs(), trust.verify_mode, trust.check_hostname) == ([], ssl.CERT_REQUIRED, True)
