"""`python -m serving.reference`: write the generated parts of docs/api.md anew, from the code's own tables."""

from pathlib import Path
from typing import Annotated

import typer

from serving.wire.reference import filled

API_DOC = Path(__file__).resolve().parents[1] / "docs" / "api.md"


def write(doc: Annotated[Path, typer.Argument(help="The file to bring up to date.")] = API_DOC) -> None:
    """Bring the generated parts of the API reference up to date."""
    doc.write_text(filled(doc.read_text()))


if __name__ == "__main__":
    typer.run(write)
