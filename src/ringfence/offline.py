"""What works on a backup without a platform: `python -m ringfence.offline`, a request in JSON on stdin.

The request is {"verb": "verify" or "restore", "file", "recovery_key", "home"}; the answer on stdout is the report, or a
problem document with exit status 1. The key comes on stdin, as arguments can be seen by others.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ringfence.app import recovery
from ringfence.errors import RingfenceError


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Verify or restore; return the report.

    Raises:
        RingfenceError: see `Recovery`.
    """
    file, key = Path(request["file"]), str(request["recovery_key"])
    if request["verb"] == "restore":
        return asdict(recovery().restore(file, key, Path(request["home"])))
    return asdict(recovery().verify(file, key))


def main() -> int:
    """Answer one request; 0 when it holds."""
    try:
        print(json.dumps(answer(json.load(sys.stdin))))
        return 0
    except RingfenceError as error:
        print(json.dumps(error.as_problem()))
        return 1


if __name__ == "__main__":
    sys.exit(main())
