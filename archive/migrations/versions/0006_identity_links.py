"""Remember which labels are one person, what the index must look at again and why alerts closed; find accessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Columns are added and dropped in place: to make a table anew that others refer to would drop what refers to it.
    op.add_column("patients", sa.Column("person_pk", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_patients_person_pk"), "patients", ["person_pk"])
    op.create_index(op.f("ix_studies_accession_number"), "studies", ["accession_number"])
    op.add_column("instances", sa.Column("judge_again", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(op.f("ix_instances_judge_again"), "instances", ["judge_again"])
    op.add_column("alerts", sa.Column("resolution", sa.String(length=32), nullable=False, server_default=""))
    op.create_table(
        "patient_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("first_pk", sa.Integer(), nullable=False),
        sa.Column("second_pk", sa.Integer(), nullable=False),
        sa.Column("surviving_pk", sa.Integer(), nullable=True),
        sa.Column("alert_pk", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["first_pk"], ["patients.id"]),
        sa.ForeignKeyConstraint(["second_pk"], ["patients.id"]),
        sa.ForeignKeyConstraint(["surviving_pk"], ["patients.id"]),
        sa.ForeignKeyConstraint(["alert_pk"], ["alerts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("first_pk", "second_pk", "alert_pk"):
        op.create_index(op.f(f"ix_patient_links_{column}"), "patient_links", [column])
    op.create_table(
        "gallery_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_pk", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    _remember_decisions()


def downgrade() -> None:
    op.drop_table("gallery_changes")
    op.drop_table("patient_links")
    op.drop_column("alerts", "resolution")
    op.drop_index(op.f("ix_instances_judge_again"), "instances")
    op.drop_column("instances", "judge_again")
    op.drop_index(op.f("ix_studies_accession_number"), "studies")
    op.drop_index(op.f("ix_patients_person_pk"), "patients")
    op.drop_column("patients", "person_pk")


def _remember_decisions() -> None:
    """Decisions that were taken before this version could remember them for the pair."""
    connection = op.get_bind()
    decided = connection.execute(
        sa.text(
            "SELECT a.id, a.kind, a.state, a.patient_pk, a.other_patient_pk, d.created_at, u.name "
            "FROM alerts a JOIN dispositions d ON d.id = (SELECT max(id) FROM dispositions WHERE alert_pk = a.id) "
            "JOIN users u ON u.id = d.user_pk "
            "WHERE a.state IN ('same_person', 'not_an_error') AND a.kind IN ('duplicate_record', 'wrong_patient') "
            "AND a.other_patient_pk IS NOT NULL AND a.other_patient_pk <> a.patient_pk ORDER BY d.id"
        )
    ).all()
    insert = sa.text(
        "INSERT INTO patient_links (kind, first_pk, second_pk, alert_pk, created_at, created_by, ended_by) "
        "VALUES (:kind, :first, :second, :alert, :at, :by, '')"
    )
    person: dict[int, int] = {}
    for alert, kind, state, own, other, at, name in decided:
        pair = (min(own, other), max(own, other))
        if state == "same_person":
            link, joined = "same_person", {person.get(one, one) for one in pair}
            person |= dict.fromkeys([*pair, *(one for one, root in person.items() if root in joined)], min(joined))
        elif kind == "duplicate_record":
            link = "two_persons"
        else:
            link, pair = "label_right", (own, other)
        values = {"kind": link, "first": pair[0], "second": pair[1], "alert": alert, "at": at, "by": name}
        connection.execute(insert, values)
    for one, root in person.items():
        connection.execute(sa.text("UPDATE patients SET person_pk = :root WHERE id = :id"), {"root": root, "id": one})
