"""What the alarms and the dashboard of `template.yaml` notice, whom they tell, and what they cost."""

import json
import re

import pytest

from tests.support.sam import load_template, of_type, text

TEMPLATE = load_template()
FUNCTIONS = of_type(TEMPLATE, "AWS::Serverless::Function")
DEAD_LETTERS = {name for name in of_type(TEMPLATE, "AWS::SQS::Queue") if name.endswith("DeadLetters")}
ALARMS = of_type(TEMPLATE, "AWS::CloudWatch::Alarm")
FREE_ALARM_METRICS = 10
MOST_ALARM_METRICS = 16
"""60 cents a month beyond the free ones: what an idle month may cost has to cover the sweep and the polls, too."""
NOTICED_BY_OTHERS = {
    ("StreamFunction", "Throttles"): "StreamAgeAlarm",
    ("TimersFunction", "Throttles"): "TimersAgeAlarm",
    ("SweepFunction", "Errors"): "SweepDeadLettersAlarm",
    ("SweepFunction", "Throttles"): "SweepDeadLettersAlarm",
}
"""What has no alarm of its own, and the alarm that is raised by it. The tests below say why that is so."""


def watched(metric: str) -> list[str]:
    """Return what the alarms on this metric look at."""
    return [text(alarm["Dimensions"][0]["Value"]) for alarm in ALARMS.values() if alarm["MetricName"] == metric]


def test_alarms_when_read_then_dead_letters_of_each_kind_are_noticed() -> None:
    """A dead letter is always worth somebody's look."""
    expected = sorted(f"${{{name}.QueueName}}" for name in DEAD_LETTERS)
    assert sorted(watched("ApproximateNumberOfMessagesVisible")) == expected


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_alarms_when_read_then_every_function_is_watched(metric: str) -> None:
    """A function that is added is added to the alarms, or to the list of what others notice."""
    by_others = [function for function, what in NOTICED_BY_OTHERS if what == metric]
    assert sorted([*watched(metric), *(f"${{{name}}}" for name in by_others)]) == sorted(
        f"${{{name}}}" for name in FUNCTIONS
    )
    assert set(NOTICED_BY_OTHERS.values()) <= ALARMS.keys()


def test_sweep_when_it_fails_or_cannot_be_started_then_a_dead_letter_raises_its_alarm() -> None:
    """Without a retry each failure goes to the destination at once, and so does what was throttled for a minute.

    Source: Lambda developer guide, asynchronous invocation, error handling (read 2026-11-23).
    """
    (retries,) = of_type(TEMPLATE, "AWS::Lambda::EventInvokeConfig").values()
    assert (text(retries["FunctionName"]), retries["MaximumRetryAttempts"]) == ("${SweepFunction}", 0)
    assert retries["MaximumEventAgeInSeconds"] == 60
    assert text(retries["DestinationConfig"]["OnFailure"]["Destination"]) == "${SweepDeadLetters.Arn}"
    alarm = ALARMS["SweepDeadLettersAlarm"]
    assert (text(alarm["Dimensions"][0]["Value"]), alarm["Threshold"]) == ("${SweepDeadLetters.QueueName}", 0)


@pytest.mark.parametrize(
    ("alarm", "metric", "seconds"),
    [("StreamAgeAlarm", "IteratorAge", 1000 * 60), ("TimersAgeAlarm", "ApproximateAgeOfOldestMessage", 20 * 60)],
)
def test_work_when_its_function_is_not_started_then_its_age_raises_an_alarm(alarm: str, metric: str, seconds: int) -> None:
    """What Lambda is throttled for stays where it was: in the stream, whose age is in milliseconds, or in the queue."""
    given = ALARMS[alarm]
    assert (given["MetricName"], given["Threshold"], given["Statistic"]) == (metric, seconds, "Maximum")
    assert given["EvaluationPeriods"] * given["Period"] <= 180


def test_alarms_when_counted_then_an_idle_month_stays_cheap() -> None:
    """Each metric that an alarm looks at is billed, so one alarm over many is no way out, and a composite one costs five.

    Source: CloudWatch pricing, alarms and free tier (read 2026-11-23).
    """
    metrics = sum(sum("MetricStat" in one for one in alarm.get("Metrics", [{"MetricStat": 1}])) for alarm in ALARMS.values())
    assert FREE_ALARM_METRICS < metrics <= MOST_ALARM_METRICS
    assert of_type(TEMPLATE, "AWS::CloudWatch::CompositeAlarm") == {}
    assert {alarm["Period"] for alarm in ALARMS.values()} == {60}  # below a minute the price is three times that


def test_alarms_when_raised_then_each_tells_the_topic_and_the_address() -> None:
    """Whoever was named is told: the one, the other, both, or, where there is neither, nobody."""
    nobody = {"Ref": "AWS::NoValue"}
    topic = {"Fn::If": ["HasAlarmTopic", {"Ref": "AlarmTopicArn"}, nobody]}
    address = {"Fn::If": ["HasAlarmEmail", {"Ref": "AlarmTopic"}, nobody]}
    assert [alarm["AlarmActions"] for alarm in ALARMS.values()] == [[topic, address]] * len(ALARMS)


def test_dashboard_when_rendered_then_it_is_json() -> None:
    """CloudFormation would find out only when it is deployed."""
    (dashboard,) = of_type(TEMPLATE, "AWS::CloudWatch::Dashboard").values()
    pattern = dashboard["DashboardBody"]["Fn::Sub"][0]
    body = json.loads(re.sub(r"\$\{[^}]+\}", "x", pattern))
    places = [(widget["x"], widget["y"]) for widget in body["widgets"]]
    assert len(set(places)) == len(places)
