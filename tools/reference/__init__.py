"""docs/reference/, written from the code: what a reader looks up is what the program does.

`make reference` writes the pages; a test compares them with what the code says now.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return every generated file of docs/reference: name -> content."""
    from tools.reference import actions, api, cli, errors, fields, schemas, settings

    return {"cli.md": cli.page(), "api.md": api.page(), "actions.md": actions.page(), "settings.md": settings.page(),
            "errors.md": errors.page(), "declaration.md": fields.declaration_page(),
            "run-specification.md": fields.run_page(), "dataset.schema.json": schemas.text(schemas.dataset()),
            "run.schema.json": schemas.text(schemas.run())}
