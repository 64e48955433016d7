"""Tell the versions of an image that a correction has replaced from others that came under its UID."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("variants", sa.Column("superseded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("variants", sa.Column("pixel_sha256", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("variants", "pixel_sha256")
    op.drop_column("variants", "superseded")
