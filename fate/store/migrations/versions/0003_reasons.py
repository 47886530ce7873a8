"""Why a decision was made; which choices showed how they were sampled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # A decision is never changed, so what is said of it later has a table of its own.
    op.create_table(
        "reason",
        sa.Column("decision_id", sa.String, sa.ForeignKey("decision.id"), primary_key=True),
        sa.Column("word", sa.String, nullable=False),
    )
    op.execute("ALTER TABLE choice ADD COLUMN revealed BOOLEAN NOT NULL DEFAULT 0")
    op.execute(
        "UPDATE choice SET revealed = 1 WHERE id IN "
        "(SELECT choice_id FROM decision WHERE NOT blind AND kind <> 'undone')"  # those are never marked blind
    )
