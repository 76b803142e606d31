"""What `levante worker` is told to serve: from `package.module[:Class]` to workflow classes."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import click

from levante.cli.exits import CommandFailed
from levante.definition.definitions import WORKFLOW
from levante.definition.discovery import for_workflows_alone
from levante.errors import text_of
from levante_core.protocol import did_you_mean

logger = logging.getLogger("levante.cli")

_DEFINE = "decorate a class with @workflow.define(name=...)"
_OWN_CODE = (str(Path(__file__).parents[1]), "<frozen importlib")


def find_modules_here() -> None:
    """Put the current directory first, as `python -m` does and a script does not."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def workflows_of(targets: Iterable[str]) -> list[type]:
    """Import the targets and return their workflow classes, each once. Raises: CommandFailed."""
    return list(dict.fromkeys(cls for target in targets for cls in _workflows_of(target)))


def _workflows_of(target: str) -> list[type]:
    place, colon, class_name = target.partition(":")
    module_name = _module_name(place)
    if not all(part.isidentifier() for part in [*module_name.split("."), *([class_name] if colon else [])]):
        form = "package.module[:Class], such as shop.orders:Checkout"
        raise click.BadParameter(f"{target!r} is neither a file that ends in .py nor of the form {form}")
    with for_workflows_alone():
        module = _imported(module_name)
    return [_named(module, class_name)] if colon else _all(module)


def _module_name(place: str) -> str:
    """Return the name under which a file is imported; any other text as it is. Raises: CommandFailed for a missing file."""
    path = Path(place)
    if path.suffix != ".py":
        return place
    if not path.is_file():
        near = did_you_mean(path.name, (file.name for file in path.parent.glob("*.py")))
        raise CommandFailed(f"there is no file {place} in {Path.cwd()}{near}")
    found, here = path.resolve(), Path.cwd().resolve()
    if found.is_relative_to(here):
        return ".".join(found.relative_to(here).with_suffix("").parts)
    sys.path.insert(0, str(found.parent))
    return found.stem


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{name}.".startswith(f"{missing}."):
            problem = f"no module {missing!r} here or among the installed packages: check the name and the directory"
            raise CommandFailed(f"{problem} ({Path.cwd()}){did_you_mean(missing, _modules_beside(missing))}") from None
        raise CommandFailed(f"module {name!r} needs {missing!r}, which is not installed ({_place(error)})") from None
    except Exception as error:
        logger.debug("importing %s failed", name, exc_info=True)
        what = f"{type(error).__name__}: {text_of(error)}".rstrip(": ")
        hint = "LOG_LEVEL=debug shows the traceback"
        raise CommandFailed(f"importing {name!r} failed: {what} ({_place(error)}; {hint})") from None


def _modules_beside(name: str) -> list[str]:
    """Return the modules that there are where one is missing: in its package, or in the current directory."""
    package, dot, _ = name.rpartition(".")
    paths = getattr(sys.modules.get(package), "__path__", []) if dot else [str(Path.cwd())]
    return [f"{package}{dot}{module.name}" for module in pkgutil.iter_modules(paths)]


def _place(error: BaseException) -> str:
    """Say where in the user's code an error came up."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OWN_CODE) and "importlib" not in frame.filename]
    last = (own or list(frames))[-1]
    return f"{last.filename}:{last.lineno}"


def _named(module: ModuleType, class_name: str) -> type:
    if not hasattr(module, class_name):
        there = ", ".join(cls.__name__ for cls in _workflows_in(module)) or "none"
        near = did_you_mean(class_name, (cls.__name__ for cls in _workflows_in(module)))
        raise CommandFailed(f"module {module.__name__!r} has no {class_name!r}; workflows in it: {there}{near}")
    cls = getattr(module, class_name)
    if not isinstance(cls, type) or WORKFLOW not in vars(cls):
        raise CommandFailed(f"{module.__name__}:{class_name} is no workflow: {_DEFINE}")
    return cls


def _all(module: ModuleType) -> list[type]:
    found = _workflows_in(module)
    defined = [cls for cls in found if cls.__module__ == module.__name__]
    if defined:
        return defined
    if found:
        names = " ".join(f"{module.__name__}:{cls.__name__}" for cls in found)
        raise CommandFailed(f"module {module.__name__!r} only imports workflows; name them to serve them: {names}")
    raise CommandFailed(f"module {module.__name__!r} defines no workflows: {_DEFINE}")


def _workflows_in(module: ModuleType) -> list[type]:
    values = dict.fromkeys(value for value in vars(module).values() if isinstance(value, type))
    return [cls for cls in values if WORKFLOW in vars(cls)]
