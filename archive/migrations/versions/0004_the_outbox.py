"""Let messages be sent together, by one worker at a time, under a name of their own that every attempt carries."""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("notifications") as table:
        table.add_column(sa.Column("uuid", sa.String(36), nullable=True))
        table.add_column(sa.Column("batch", sa.String(32), nullable=False, server_default=""))
        table.add_column(sa.Column("created_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True))
    messages = sa.table("notifications", *(sa.column(name) for name in ("id", "uuid", "created_at", "due_at")))
    connection = op.get_bind()
    for (number,) in connection.execute(sa.select(messages.c.id)).all():
        named = sa.update(messages).where(messages.c.id == number)
        connection.execute(named.values(uuid=str(uuid4()), created_at=messages.c.due_at))
    with op.batch_alter_table("notifications") as table:
        table.alter_column("uuid", existing_type=sa.String(36), nullable=False)
        table.alter_column("created_at", existing_type=sa.DateTime(timezone=True), nullable=False)
        table.alter_column("batch", existing_type=sa.String(32), nullable=False, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("notifications") as table:
        for column in ("sent_at", "leased_until", "created_at", "batch", "uuid"):
            table.drop_column(column)
