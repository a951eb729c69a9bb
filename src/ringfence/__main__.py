"""`ringfence`, and `python -m ringfence`: Ctrl-C is one line from the first moment on, while the rest still loads."""

import sys

from ringfence.errors import INTERRUPTED


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        from ringfence.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
