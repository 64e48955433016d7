"""Call what names a file its digest: it is a BLAKE3 and no longer a SHA-256."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from config.errors import ConfigurationError

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Their files would be reported as damaged, and the same images as others when they are sent again.
    if op.get_bind().execute(sa.text("SELECT 1 FROM instances LIMIT 1")).first() is not None:
        raise ConfigurationError(
            "The files of this archive are named in the way of an earlier version, which this one cannot read. Begin "
            "with an empty data folder and have the PACS send again, or stay with the earlier version."
        )
    for table in ("instances", "variants"):
        op.alter_column(table, "file_sha256", new_column_name="file_digest")


def downgrade() -> None:
    for table in ("instances", "variants"):
        op.alter_column(table, "file_digest", new_column_name="file_sha256")
