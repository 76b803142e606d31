"""What docstrings of the public functions say, as documentation tools and editors read it."""

import builtins
from collections.abc import Iterator
from functools import cache

import griffe
import pytest

from levante import client, errors

MODULES = {
    "levante": (),
    "levante.workflow": (),
    "levante.client": ("AsyncClient", "AsyncHandle", "Client", "Handle"),
    "levante.activity": ("Activity", "ActivityDecorator"),
    "levante.testing": (),
}
"""Where users import from. Names: what to look at where a module does not say itself what is public."""


@cache
def read_once() -> griffe.GriffeLoader:
    """Read the package with what it imports: that takes seconds."""
    loader = griffe.GriffeLoader(allow_inspection=False)
    loader.load("levante")
    loader.resolve_aliases(external=True)
    return loader


def functions(module: str) -> Iterator[griffe.Function]:
    """Yield the public functions of a module, and the public methods of its public classes, wherever they are defined."""
    read = read_once().modules_collection[module]
    for name in MODULES[module] or read.exports or ():
        member = read.members[str(name)]
        target = member.final_target if isinstance(member, griffe.Alias) else member
        if isinstance(target, griffe.Function):
            yield target
        elif isinstance(target, griffe.Class):
            yield from (
                method
                for method in target.functions.values()
                if not method.name.startswith("_") or method.name == "__call__"
            )


def problems(function: griffe.Function) -> Iterator[str]:
    """Yield what is wrong with the sections of a docstring."""
    if function.docstring is None:
        yield "has no docstring"
        return
    text = function.docstring.value
    if not text.partition("\n")[0].endswith((".", ":")):
        yield "does not begin with a sentence on a line of its own"
    for section in function.docstring.parse("google", warnings=False):
        if isinstance(section, griffe.DocstringSectionParameters):
            unknown = [one.name for one in section.value if one.name not in {p.name for p in function.parameters}]
            yield from (f"has no parameter {name}" for name in unknown)
        if isinstance(section, griffe.DocstringSectionRaises):
            raised = [str(one.annotation).rpartition(".")[2] for one in section.value]
            yield from (f"names no error with {name}" for name in raised if not _is_error(function, name))


def _is_error(function: griffe.Function, name: str) -> bool:
    return (
        any(hasattr(one, name) for one in (builtins, errors, client))
        or name in function.module.members
        or name in LESS_KNOWN
    )


LESS_KNOWN = {"CancelledError", "HandlerFailed", "InvalidResetPoint", "PayloadRefused", "WorkflowCodeFailed"}
"""Errors that a function lets through which are neither Python's nor among `levante.errors`, nor known in its module."""


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_docstrings_when_a_tool_reads_them_then_their_sections_name_what_there_is(module: str) -> None:
    """An editor shows what a parameter means, and no parameter that is gone."""
    found = list(functions(module))
    assert found
    assert [(function.path, problem) for function in found for problem in problems(function)] == []


@pytest.mark.slow
def test_docstrings_when_they_have_sections_then_these_are_recognised() -> None:
    """A section that no tool takes for one would never be checked."""
    sections = {
        (function.name, section.kind.value)
        for module in MODULES
        for function in functions(module)
        for section in (function.docstring.parse("google", warnings=False) if function.docstring else ())
    }
    assert {("add_search_keys", "parameters"), ("add_search_keys", "raises"), ("task", "parameters")} <= sections


@pytest.mark.parametrize(
    ("docstring", "problem"),
    [
        ("Do it.\n\nArgs:\n    other: Something.", "has no parameter other"),
        ("Do it.\n\nRaises:\n    NoSuchError: Never.", "names no error with NoSuchError"),
        ("Do\nit.", "does not begin with a sentence on a line of its own"),
        ("", "has no docstring"),
        ("Do it.\n\nArgs:\n    given: Something.\n\nRaises:\n    ValueError: Always.", None),
    ],
)
def test_docstring_when_it_is_wrong_then_that_is_found(docstring: str, problem: str | None) -> None:
    """The checks above can fail."""
    code = f"def act(given: int) -> None:\n    {docstring!r}\n    return None\n" if docstring else "def act(): ..."
    with griffe.temporary_visited_module(code) as module:
        assert list(problems(module.functions["act"])) == ([problem] if problem else [])
