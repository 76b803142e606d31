"""What the worker serves whose payloads are encrypted."""

import levante as workflows
from levante.encoding import EncryptedStr


@workflows.activity(name="sealed-seal")
async def seal(letter: dict[str, str]) -> str:
    """Return what it says."""
    return f"sealed: {letter['text']}"


@workflows.workflow.define(name="sealed")
class Sealed:
    """Collects letters until it has an update."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.is_over = False

    @workflows.workflow.entrypoint
    async def run(self, text: str, ssn: EncryptedStr) -> list[str]:
        """Return all letters."""
        self.letters += [await seal({"text": text}), ssn.data]
        async with workflows.task("letter", {"text": text}) as task:
            await task.update_state({"text": f"{text}, and more"})
        await workflows.workflow.wait_condition(lambda: self.is_over)
        return self.letters

    @workflows.workflow.signal(name="add")
    def add(self, text: str) -> None:
        """Add a letter."""
        self.letters.append(text)

    @workflows.workflow.query(name="show")
    def show(self, above: int) -> list[str]:
        """Return the letters above a number."""
        return self.letters[above:]

    @workflows.workflow.update(name="close")
    def close(self, text: str) -> str:
        """Add the last letter."""
        self.letters.append(text)
        self.is_over = True
        return f"closed with {text}"
