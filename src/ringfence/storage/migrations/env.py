"""Alembic's entry: runs on the connection that `ringfence.storage.migrate` hands it, inside that one transaction."""

from __future__ import annotations

from alembic import context

_given = context.config.attributes

context.configure(
    connection=_given["connection"],
    target_metadata=_given.get("metadata"),
    process_revision_directives=_given.get("process_revision_directives"),
    compare_type=True,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
