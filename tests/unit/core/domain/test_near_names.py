"""Names that somebody may have meant."""

import pytest

from levante_core.domain.near_names import did_you_mean, nearest

KNOWN = ("checkout", "Refund", "retry_policy_max_attempts", "execution_timeout")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("chekout", "checkout"),
        ("Checkout", "checkout"),
        ("refund", "Refund"),
        ("retrys", "retry_policy_max_attempts"),
        ("timeout", "execution_timeout"),
        ("ret", None),
        ("something", None),
        ("c" * 1000, None),
        ("", None),
    ],
)
def test_nearest_when_a_name_is_not_known_then_it_is_the_one_that_was_meant(written: str, meant: str | None) -> None:
    """Typing errors, another case, a part of a name; nothing where nothing is near."""
    assert nearest(written, KNOWN) == meant


def test_did_you_mean_when_nothing_is_near_then_nothing_is_asked() -> None:
    """A guess that is none misleads."""
    assert did_you_mean("chekout", KNOWN) == ". Did you mean 'checkout'?"
    assert did_you_mean("something", KNOWN) == ""
    assert did_you_mean("checkout", ()) == ""
