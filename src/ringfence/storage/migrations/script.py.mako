"""${message}.

Revision: ${up_revision}; follows: ${down_revision or "nothing"}
"""

# ruff: noqa: E501
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ringfence.storage.migrate import on_sqlite

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    ${upgrades.strip() if upgrades else "pass"}


def downgrade() -> None:
    """Go one step back."""
    ${downgrades.strip() if downgrades else "pass"}
