"""Remember what the PACS was asked, until each receiver of audit messages has been told, and after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pacs_queries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("peer", sa.String(length=16), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("identifier", sa.LargeBinary(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=128), nullable=False),
        sa.Column("patient_pk", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["patient_pk"], ["patients.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_pacs_queries_patient_pk"), "pacs_queries", ["patient_pk"])
    op.create_index(op.f("ix_pacs_queries_study_instance_uid"), "pacs_queries", ["study_instance_uid"])
    op.add_column("audit_exports", sa.Column("query_pk", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("audit_exports", "query_pk")
    op.drop_table("pacs_queries")
