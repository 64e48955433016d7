"""Remember what was removed for good, and let decisions go with the alerts that are; nothing else can remove them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# A decision may go only with an alert that a recorded purge is removing at this moment.
_BEING_PURGED = "EXISTS (SELECT 1 FROM purge_leftovers WHERE kind = 'alert' AND name = CAST(OLD.alert_pk AS VARCHAR))"
_REFUSED = "rows of dispositions are only ever added"


def upgrade() -> None:
    op.create_table(
        "purges",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("last_instance", sa.Integer(), nullable=False),
        sa.Column("last_alert", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_purges_subject"), "purges", ["subject"])
    op.create_table(
        "purge_leftovers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("purge_pk", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["purge_pk"], ["purges.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_purge_leftovers_purge_pk"), "purge_leftovers", ["purge_pk"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER dispositions_only_grows ON dispositions")
        op.execute(
            "CREATE TRIGGER dispositions_only_grows BEFORE UPDATE OR TRUNCATE ON dispositions "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            "CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {_BEING_PURGED} THEN RETURN OLD; END IF; RAISE EXCEPTION '{_REFUSED}'; END $$"
        )
        op.execute(
            "CREATE TRIGGER dispositions_stay BEFORE DELETE ON dispositions "
            "FOR EACH ROW EXECUTE FUNCTION refuse_removal()"
        )
        return
    op.execute("DROP TRIGGER dispositions_no_delete")
    op.execute(
        f"CREATE TRIGGER dispositions_no_delete BEFORE DELETE ON dispositions WHEN NOT {_BEING_PURGED} "
        f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER dispositions_stay ON dispositions")
        op.execute("DROP FUNCTION refuse_removal()")
        op.execute("DROP TRIGGER dispositions_only_grows ON dispositions")
        op.execute(
            "CREATE TRIGGER dispositions_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON dispositions "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    else:
        op.execute("DROP TRIGGER dispositions_no_delete")
        op.execute(
            "CREATE TRIGGER dispositions_no_delete BEFORE DELETE ON dispositions "
            f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        )
    op.drop_table("purge_leftovers")
    op.drop_table("purges")
