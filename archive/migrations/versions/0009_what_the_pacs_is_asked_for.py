"""Keep which patients and days the PACS was asked for, and which series came from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _searched() -> list[sa.Column[object]]:
    state = sa.Enum("pending", "retrieved", "done", "dead", name="searchstate", native_enum=False, length=32)
    return [
        sa.Column("state", state, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "prior_searches",
        sa.Column("patient_pk", sa.Integer(), sa.ForeignKey("patients.id"), autoincrement=False, nullable=False),
        *_searched(),
        sa.PrimaryKeyConstraint("patient_pk"),
    )
    op.create_index("ix_prior_searches_state_due", "prior_searches", ["state", "due_at"])
    op.create_table(
        "retrieved_series",
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("series_instance_uid"),
    )
    op.create_table(
        "retrieved_days",
        sa.Column("day", sa.Date(), nullable=False),
        *_searched(),
        sa.Column("series", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_index("ix_retrieved_days_state_due", "retrieved_days", ["state", "due_at"])


def downgrade() -> None:
    op.drop_index("ix_retrieved_days_state_due", table_name="retrieved_days")
    op.drop_table("retrieved_days")
    op.drop_table("retrieved_series")
    op.drop_index("ix_prior_searches_state_due", table_name="prior_searches")
    op.drop_table("prior_searches")
