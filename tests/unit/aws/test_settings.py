"""What the functions are told by their environment, and what they say when it is wrong."""

import re
from datetime import timedelta

import pytest

from levante_core.adapters.aws.composition import AwsSettings, LentRole, WrongSettings, read_aws_settings
from levante_core.domain.observability.costs import PRICES, CostUnit

LEAST = {
    "LEVANTE_TABLE": "t",
    "LEVANTE_BUCKET": "b",
    "LEVANTE_QUEUE_PREFIX": "p",
    "LEVANTE_DEAD_LETTER_ARN": "arn:aws:sqs:us-east-1:123456789012:p-dead-letters.fifo",
}


def test_settings_when_only_the_necessary_is_said_then_the_rest_has_defaults() -> None:
    """Workers get no credentials, and nothing is traced, unless somebody says so."""
    assert read_aws_settings(LEAST) == AwsSettings(
        table="t",
        bucket="b",
        queue_prefix="p",
        dead_letter_arn=LEAST["LEVANTE_DEAD_LETTER_ARN"],
        kms_key_arn=None,
        lent=None,
        fast_path=True,
        log_level="INFO",
        tracing=False,
        retention=timedelta(days=30),
    )


def test_settings_when_all_is_said_then_all_is_heard() -> None:
    """Each variable has its place."""
    said = {
        **LEAST,
        "LEVANTE_KMS_KEY_ARN": "arn:aws:kms:us-east-1:123456789012:key/k",
        "LEVANTE_WORKER_ROLE_ARN": "arn:aws:iam::123456789012:role/w",
        "AWS_REGION": "eu-central-1",
        "LEVANTE_FAST_PATH": "off",
        "LEVANTE_LOG_LEVEL": "ERROR",
        "LEVANTE_TRACING": "on",
    }
    settings = read_aws_settings(said)
    assert settings.lent == LentRole("arn:aws:iam::123456789012:role/w", "eu-central-1")
    assert settings.kms_key_arn == said["LEVANTE_KMS_KEY_ARN"]
    assert (settings.fast_path, settings.log_level, settings.tracing) == (False, "ERROR", True)


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(LEAST, "")], ids=["missing", "empty"])
def test_settings_when_variables_are_missing_then_one_error_names_them_all(empty: dict[str, str]) -> None:
    """Whoever mends the environment does so once."""
    with pytest.raises(WrongSettings) as caught:
        read_aws_settings(empty)
    assert re.findall(r"LEVANTE_\w+", str(caught.value)) == list(LEAST)


def test_settings_when_a_role_is_lent_then_the_region_has_to_be_known() -> None:
    """Lambda sets it; elsewhere it has to be said, as credentials name the queues that they are for."""
    with pytest.raises(WrongSettings, match="AWS_REGION is missing"):
        read_aws_settings({**LEAST, "LEVANTE_WORKER_ROLE_ARN": "arn:aws:iam::123456789012:role/w"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("LEVANTE_FAST_PATH", "yes"), ("LEVANTE_LOG_LEVEL", "DEBUG"), ("LEVANTE_TRACING", "Active")],
)
def test_settings_when_a_value_is_none_of_the_allowed_then_the_error_lists_those(name: str, value: str) -> None:
    """An unknown value fails closed: guessing would switch something on or off unnoticed."""
    with pytest.raises(WrongSettings, match=f"{name} is '{value}': it takes one of"):
        read_aws_settings({**LEAST, name: value})


@pytest.mark.parametrize(("level", "is_quiet"), [("INFO", False), ("WARNING", True), ("ERROR", True)])
def test_settings_when_the_log_level_is_above_info_then_requests_go_unlogged(level: str, *, is_quiet: bool) -> None:
    """The line per request is at the level INFO."""
    assert read_aws_settings({**LEAST, "LEVANTE_LOG_LEVEL": level}).is_quiet is is_quiet


@pytest.mark.parametrize(("given", "days"), [("7", 7), ("0", None), ("3650", 3650)])
def test_settings_when_a_retention_is_said_then_it_is_in_days_and_0_is_for_ever(given: str, days: int | None) -> None:
    """An installation decides how long it keeps what is over."""
    settings = read_aws_settings({**LEAST, "LEVANTE_RETENTION_DAYS": given})
    assert settings.retention == (timedelta(days=days) if days else None)


@pytest.mark.parametrize("given", ["-1", "1.5", "ten", "3651", "99999999999999999999"])
def test_settings_when_the_retention_is_no_number_of_days_then_that_is_said(given: str) -> None:
    """Nothing is deleted by a guess."""
    with pytest.raises(WrongSettings, match=f"LEVANTE_RETENTION_DAYS is '{given}'"):
        read_aws_settings({**LEAST, "LEVANTE_RETENTION_DAYS": given})


def test_settings_when_prices_are_said_then_they_take_the_place_of_list_prices() -> None:
    """An account may pay less, and most regions cost more."""
    settings = read_aws_settings({**LEAST, "LEVANTE_PRICES": '{"write_unit": 0.5}'})
    assert settings.prices == {**PRICES, CostUnit.WRITE_UNIT: 0.5}
    assert read_aws_settings(LEAST).prices == read_aws_settings({**LEAST, "LEVANTE_PRICES": ""}).prices == PRICES


@pytest.mark.parametrize(
    "given", ["{", "1", '{"write_unit": -1}', '{"write_unit": "x"}', '{"unheard_of": 1}', '{"write_unit": NaN}']
)
def test_settings_when_prices_cannot_be_read_then_that_is_said(given: str) -> None:
    """Nothing costs nothing by a typing error."""
    with pytest.raises(WrongSettings, match="LEVANTE_PRICES cannot be read: it takes a JSON object"):
        read_aws_settings({**LEAST, "LEVANTE_PRICES": given})
