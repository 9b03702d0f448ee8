"""Prints the OpenAPI document: `python -m spaces_gateway.openapi > docs/openapi.json`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from spaces_chassis.testing import MemoryBus
from spaces_gateway.app import build
from spaces_gateway.http.documents import document
from spaces_gateway.settings import GatewaySettings


def openapi_document() -> dict[str, Any]:
    """The document, as a gateway serves it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = GatewaySettings(files_dir=Path(folder), signing_key=SecretStr("x" * 32))
        return document(build(settings, MemoryBus()).http)


def main() -> None:
    """Writes to the file named, or to standard output."""
    text = json.dumps(openapi_document(), indent=1, ensure_ascii=False) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
