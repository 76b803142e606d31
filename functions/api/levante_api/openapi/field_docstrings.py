"""The descriptions of fields: the docstring beside each field of a model, read from its source when somebody asks.

Pydantic can read them too (`use_attribute_docstrings`), but does so for every model as it is imported: a fifth
more of each cold start (140 ms here, measured 2026-12-01), for a document that few ask for.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import cleandoc, getsource
from itertools import pairwise

from pydantic import BaseModel

from levante_core.domain.frozen import Frozen


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands beside the fields of a model and its ancestors, by field."""
    ancestors = [ancestor for ancestor in reversed(model.__mro__) if ancestor not in Frozen.__mro__]
    return {
        field: text
        for ancestor in ancestors
        for field, text in _in_module(ancestor.__module__).get(ancestor.__name__, {}).items()
    }


def unwrapped(docstring: str) -> str:
    """Return a docstring with each paragraph on one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(docstring).split("\n\n"))


@cache
def _in_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings of fields by class and field. Cost: one parse of the module."""
    tree = ast.parse(getsource(sys.modules[name]))
    return {node.name: dict(_beside_fields(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _beside_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, following in pairwise(node.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(text))):
                yield field, unwrapped(text)
            case _:
                pass
