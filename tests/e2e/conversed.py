"""A workflow that is talked to, and goes on until it is told to end."""

import levante as workflows
from levante import workflow


@workflows.activity(name="converse-note")
async def note(text: str) -> str:
    """Log what was said, and keep it."""
    workflows.logger.info("somebody said %s", text)
    return f"noted: {text}"


@workflow.define(name="converse")
class Converse:
    """Notes a topic; ends when it hears the last word."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.is_over = False

    @workflow.entrypoint
    async def run(self, topic: str) -> list[str]:
        """Return what was heard, the topic first."""
        self.heard.append(await note(topic))
        await workflow.wait_condition(lambda: self.is_over)
        return self.heard

    @workflow.signal(name="say")
    async def say(self, text: str) -> None:
        """Hear a text."""
        self.heard.append(text)

    @workflow.query(name="heard")
    def what_was_heard(self) -> list[str]:
        """Return what was heard so far."""
        return self.heard

    @workflow.update(name="end")
    async def end(self, text: str) -> int:
        """Hear the last word, and end. Returns how much was heard."""
        self.heard.append(text)
        self.is_over = True
        return len(self.heard)
