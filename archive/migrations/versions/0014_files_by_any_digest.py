"""Call what names a file its digest: it is no longer a SHA-256."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("instances", "variants"):
        op.alter_column(table, "file_sha256", new_column_name="file_digest")


def downgrade() -> None:
    for table in ("instances", "variants"):
        op.alter_column(table, "file_digest", new_column_name="file_sha256")
