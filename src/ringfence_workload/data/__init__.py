"""What becomes of records inside the fence: parsed, classified, de-identified, read by column."""

import os

# Before polars is first imported: a fence allows few processes, and polars would start a thread for each of the host's
# processors.
os.environ.setdefault("POLARS_MAX_THREADS", str(min(8, os.cpu_count() or 1)))
