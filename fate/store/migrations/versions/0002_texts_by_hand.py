"""Texts by hand, several annotators, licences, put-away stories; an index to read choices in the order of time."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("DROP VIEW pair")
    op.execute("DROP VIEW standing_decision")

    # A text by hand has no sampler, seed or tokens. SQLite cannot let a column be null that could
    # not be before, so the table is made anew.
    op.create_table(
        "new_candidate",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("choice_id", sa.String, sa.ForeignKey("choice.id"), nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("draft_id", sa.String, sa.ForeignKey("candidate.id")),
        sa.Column("slot", sa.Integer),
        sa.Column("position", sa.Integer),
        sa.Column("shown", sa.Boolean, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("temperature", sa.Float),
        sa.Column("top_k", sa.Integer),
        sa.Column("typical_p", sa.Float),
        sa.Column("muse_top_k", sa.Integer),
        sa.Column("muse_damp", sa.Float),
        sa.Column("muse_damp_initial", sa.Float),
        sa.Column("muse_damp_ramp_tokens", sa.Integer),
        sa.Column("muse_mode", sa.String),
        sa.Column("min_new_tokens", sa.Integer),
        sa.Column("max_new_tokens", sa.Integer),
        sa.Column("policy", sa.String),
        sa.Column("log_density", sa.Float),
        sa.Column("seed", sa.Integer),
        sa.Column("output_tensors", sa.LargeBinary),
        sa.Column("kept", sa.Integer),
        sa.Column("finish_reason", sa.String),
        sa.Column("milliseconds", sa.Integer),
    )
    generated = (
        "id, choice_id, slot, position, shown, text, temperature, top_k, typical_p, muse_top_k, muse_damp, "
        "muse_damp_initial, muse_damp_ramp_tokens, muse_mode, min_new_tokens, max_new_tokens, policy, log_density, "
        "seed, output_tensors, kept, finish_reason, milliseconds"
    )
    op.execute(f"INSERT INTO new_candidate (origin, {generated}) SELECT 'generated', {generated} FROM candidate")
    op.execute("DROP TABLE candidate")
    op.execute("ALTER TABLE new_candidate RENAME TO candidate")
    op.create_index("ix_candidate_choice_id", "candidate", ["choice_id"])

    op.create_index("ix_choice_created_at_id", "choice", ["created_at", "id"])
    op.execute("ALTER TABLE story ADD COLUMN state VARCHAR NOT NULL DEFAULT 'active'")
    op.execute("ALTER TABLE model ADD COLUMN license VARCHAR")
    op.execute("ALTER TABLE decision ADD COLUMN review BOOLEAN NOT NULL DEFAULT 0")

    # For people who open the file in sqlite3 or Datasette.
    op.execute(
        """
        CREATE VIEW standing_decision AS
        SELECT d.* FROM decision d
        WHERE NOT EXISTS (
            SELECT 1 FROM decision l WHERE l.choice_id = d.choice_id AND l.annotator_id = d.annotator_id
            AND (l.created_at, l.id) > (d.created_at, d.id)
        )
        """
    )
    op.execute(
        """
        CREATE VIEW pair AS
        SELECT ch.story_id, ch.id AS choice_id, ch.step, a.name AS annotator, d.kind, ch.prompt,
               c.text AS chosen, r.text AS rejected
        FROM standing_decision d
        JOIN annotator a ON a.id = d.annotator_id
        JOIN choice ch ON ch.id = d.choice_id
        JOIN candidate c ON c.id = d.candidate_id
        JOIN candidate r ON r.choice_id = ch.id AND r.text <> c.text
        WHERE (d.kind = 'chosen' AND r.origin = 'generated') OR (d.kind = 'edited' AND r.id = c.draft_id)
        """
    )
