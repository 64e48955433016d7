"""Keep what was done to an image that is stored turned or inverted before it was compared, so that people are told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("righting", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("instances", "righting")
