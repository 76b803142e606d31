"""Documents are read in parallel, a few at a time, and one that cannot be read does not spoil the others.

    python examples/documents.py

All of them are asked for at once, and a semaphore lets through as many as are wanted. It is an ordinary `asyncio.Semaphore`:
in a workflow it is as deterministic as the rest, so after a crash the same documents go on where they were.
"""

import asyncio
from datetime import timedelta

from mistralai.client import Mistral
from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow

SHELF = {
    "letter.txt": "thank you for the kite it flies",
    "recipe.txt": "flour water salt and time",
    "poem.txt": "the wind has no road and needs none",
    "list.txt": "string paper glue",
    "diary.txt": "no wind today",
}
"""Where documents are kept, in place of a store of files."""


class Batch(BaseModel):
    """What is to be read. at_once: how many documents at most are being worked on at any moment."""

    documents: list[str]
    at_once: int = Field(default=4, ge=1)


class Summary(BaseModel):
    """What was found in a document."""

    document: str
    words: int


class Problem(BaseModel):
    """Why there is no summary of a document."""

    document: str
    reason: str


class Report(BaseModel):
    """Every document of the batch, in one list or in the other, each in the order of the batch."""

    summaries: list[Summary]
    problems: list[Problem]


@workflows.activity(start_to_close_timeout=timedelta(seconds=30), retry_policy_max_attempts=3)
async def read_text(document: str) -> str:
    """Fetch a document. One that is not there will not be there a second later, so nobody tries again."""
    print(f"   reading {document}", flush=True)
    await asyncio.sleep(0.3)
    if document not in SHELF:
        raise workflows.WorkflowError(f"there is no {document}", non_retryable=True)
    return SHELF[document]


@workflows.activity()
async def summarize(document: str, text: str) -> Summary:
    """Say what is in a document."""
    return Summary(document=document, words=len(text.split()))


@workflow.define(name="documents")
class Documents:
    """A batch of documents."""

    @workflow.entrypoint
    async def run(self, batch: Batch) -> Report:
        """Return what was found, and what could not be read. Does not fail for a document that does."""
        free_places = asyncio.Semaphore(batch.at_once)
        outcomes = await asyncio.gather(*(self.process(document, free_places) for document in batch.documents))
        return Report(
            summaries=[outcome for outcome in outcomes if isinstance(outcome, Summary)],
            problems=[outcome for outcome in outcomes if isinstance(outcome, Problem)],
        )

    async def process(self, document: str, free_places: asyncio.Semaphore) -> Summary | Problem:
        """Read one document once there is a place for it."""
        async with free_places:
            try:
                return await summarize(document, await read_text(document))
            except workflows.ActivityError as error:
                return Problem(document=document, reason=str(error.cause))


def drive(client: Mistral) -> None:
    """Read a batch in which two documents are missing."""
    documents = [*SHELF, "will.txt", "map.txt"]
    print(f"{len(documents)} documents, 3 at a time")
    batch = {"documents": documents, "at_once": 3}
    report = client.workflows.execute_workflow_and_wait("documents", batch, use_api_sync=True)
    for summary in report["summaries"]:
        print(f"{summary['document']} has {summary['words']} words")
    for problem in report["problems"]:
        print(f"{problem['document']}: {problem['reason']}")


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
