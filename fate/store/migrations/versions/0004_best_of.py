"""How often a candidate was written, of which the best was kept."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE candidate ADD COLUMN best_of INTEGER")
    op.execute("UPDATE candidate SET best_of = 1 WHERE origin = 'generated'")
