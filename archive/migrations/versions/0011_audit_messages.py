"""Remember how far each receiver of audit messages has got."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_exports",
        sa.Column("receiver", sa.String(16), primary_key=True),
        sa.Column("event_pk", sa.Integer(), nullable=False),
        sa.Column("instance_pk", sa.Integer(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("audit_exports")
