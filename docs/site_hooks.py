"""What `make docs` changes of the pages: those beside docs/ join the site, and links that lead out of it become text."""  # noqa: INP001 - a script

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
BESIDE = {
    "README.md": "index.md",
    **{
        name: name
        for name in (
            "CHANGELOG.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "benchmarks/README.md",
            "benchmarks/RESULTS.md",
            "infra/README.md",
        )
    },
}
"""Pages that are elsewhere in the repository, and where they are on the site."""
CODE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages that are beside docs/."""
    for source, place in BESIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page to where their targets are on the site."""
    place = page.file.src_uri
    source = next((source for source, there in BESIDE.items() if there == place), DOCS + place)

    def turned(match: re.Match[str]) -> str:
        path, hash_, anchor = match[2].partition("#")
        if not path or re.match(r"[a-z]+:", match[2]):
            return match[0]
        found = place_of(os.path.normpath(os.path.join(os.path.dirname(source), path)))  # noqa: PTH118, PTH120 - no files
        if found is None:
            return match[1]
        return f"[{match[1]}]({os.path.relpath(found, os.path.dirname(place) or '.')}{hash_}{anchor})"  # noqa: PTH120 - same

    return "".join(part if CODE.fullmatch(part) else LINK.sub(turned, part) for part in CODE.split(markdown))


def place_of(source: str) -> str | None:
    """Return where a file of the repository is on the site, if it is there."""
    if source in BESIDE:
        return BESIDE[source]
    return source.removeprefix(DOCS) if source.startswith(DOCS) and source.endswith(".md") else None
