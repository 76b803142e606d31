"""examples/documents.py: how many at once, and what becomes of the rest when one fails."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from examples.documents import SHELF, Batch, Documents, Problem, Report, Summary, read_text, summarize

from levante import WorkflowError
from levante.testing import WorkflowEnvironment

pytestmark = pytest.mark.levante


class Library:
    """Hands out documents, slowly, and counts how many are being read. missing: documents that it has not."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.reading = 0
        self.most = 0
        self.asked: Counter[str] = Counter()

    async def read(self, document: str) -> str:
        self.asked[document] += 1
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            await asyncio.sleep(10)
        finally:
            self.reading -= 1
        if document in self.missing:
            raise WorkflowError("burnt", non_retryable=True)
        return f"about {document}"


def environment_with(library: Library, **mode: Any) -> WorkflowEnvironment:
    return WorkflowEnvironment([Documents], activities=[read_text, summarize], mocks={read_text: library.read}, **mode)


async def test_documents_when_some_are_missing_then_the_others_are_summarized(mode: Mapping[str, Any]) -> None:
    """Partial failure is a result; the order is that of the batch, whatever was ready first."""
    library = Library("b", "d")
    async with environment_with(library, **mode) as environment:
        report = await environment.execute(Documents, Batch(documents=list("abcde"), at_once=2))
        assert report == Report(
            summaries=[Summary(document=name, words=2) for name in "ace"],
            problems=[Problem(document=name, reason="burnt") for name in "bd"],
        )


@pytest.mark.parametrize("always_replay", [False, True])
async def test_documents_when_there_are_many_then_no_more_are_read_at_once_than_wanted(*, always_replay: bool) -> None:
    """The limit is used up, and not passed."""
    library = Library()
    async with environment_with(library, always_replay=always_replay) as environment:
        report = await environment.execute(Documents, Batch(documents=[str(number) for number in range(20)], at_once=3))
        assert len(report.summaries) == 20
        assert library.most == 3
        assert set(library.asked.values()) == {1}


async def test_documents_when_one_is_missing_then_nobody_asks_for_it_again() -> None:
    """A failure that another attempt cannot mend is non-retryable."""
    library = Library("a")
    async with environment_with(library) as environment:
        report = await environment.execute(Documents, Batch(documents=["a"]))
        assert (len(report.problems), library.asked["a"]) == (1, 1)


async def test_documents_when_there_are_none_then_the_report_is_empty() -> None:
    """Nothing to do is no error, and asks for nothing."""
    async with environment_with(Library()) as environment:
        execution = await environment.start(Documents, Batch(documents=[]))
        assert await execution.result() == Report(summaries=[], problems=[])
        assert (await execution.history()).activities == []


async def test_documents_when_they_are_on_the_shelf_then_their_words_are_counted() -> None:
    """The example's own activities, without mocks."""
    async with WorkflowEnvironment([Documents], activities=[read_text, summarize]) as environment:
        report = await environment.execute(Documents, Batch(documents=[*SHELF, "map.txt"]))
        assert {one.document: one.words for one in report.summaries}["poem.txt"] == 8
        assert report.problems == [Problem(document="map.txt", reason="there is no map.txt")]
