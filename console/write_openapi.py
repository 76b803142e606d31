"""Write the OpenAPI document for the types of the console: `python console/write_openapi.py`."""  # noqa: INP001 - a script

from pathlib import Path

from levante_api.app import bare_document

if __name__ == "__main__":
    into = Path(__file__).parent / "build" / "openapi.json"
    into.parent.mkdir(exist_ok=True)
    into.write_text(bare_document())
