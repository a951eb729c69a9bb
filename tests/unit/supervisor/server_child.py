from __future__ import annotations

import sys

from ringfence.supervisor import child
from tests.unit.supervisor.rehearsal import HOME, life

if __name__ == "__main__":
    sys.exit(child.run("server", HOME.logs, lambda reporter: life("server", reporter)))
