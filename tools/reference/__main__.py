"""Write docs/reference/ anew: `python -m tools.reference`."""

from __future__ import annotations

from tools.reference import FOLDER, pages


def main() -> None:
    """Write every generated file; the hand-written ones beside them stay."""
    for name, content in pages().items():
        (FOLDER / name).write_text(content, "utf-8")


if __name__ == "__main__":
    main()
