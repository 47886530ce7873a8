"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # story.tip_id and candidate.choice_id refer to each other's tables by way of choice; SQLite
    # looks foreign keys up when rows are written, so the order of creation does not matter.
    op.create_table(
        "story",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("title", sa.String, nullable=False),
        sa.Column("opening", sa.String, nullable=False),
        sa.Column("tip_id", sa.String, sa.ForeignKey("candidate.id")),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("played_at", sa.String, nullable=False),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("architecture", sa.String, nullable=False),
        sa.Column("weights_sha256", sa.String, nullable=False),
        sa.Column("tokenizer_sha256", sa.String, nullable=False),
        sa.Column("precision", sa.String, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("versions", sa.String, nullable=False),
    )
    op.create_table(
        "annotator",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
    )
    op.create_table(
        "choice",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("story_id", sa.String, sa.ForeignKey("story.id"), nullable=False, index=True),
        sa.Column("parent_id", sa.String, sa.ForeignKey("candidate.id"), index=True),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("prompt", sa.String, nullable=False),
        sa.Column("input_tensors", sa.LargeBinary, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("model_id", sa.String, sa.ForeignKey("model.id"), nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_table(
        "candidate",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("choice_id", sa.String, sa.ForeignKey("choice.id"), nullable=False, index=True),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("shown", sa.Boolean, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("temperature", sa.Float, nullable=False),
        sa.Column("top_k", sa.Integer, nullable=False),
        sa.Column("typical_p", sa.Float, nullable=False),
        sa.Column("muse_top_k", sa.Integer, nullable=False),
        sa.Column("muse_damp", sa.Float, nullable=False),
        sa.Column("muse_damp_initial", sa.Float, nullable=False),
        sa.Column("muse_damp_ramp_tokens", sa.Integer, nullable=False),
        sa.Column("muse_mode", sa.String, nullable=False),
        sa.Column("min_new_tokens", sa.Integer, nullable=False),
        sa.Column("max_new_tokens", sa.Integer, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("log_density", sa.Float, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("output_tensors", sa.LargeBinary, nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("finish_reason", sa.String, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("choice_id", sa.String, sa.ForeignKey("choice.id"), nullable=False),
        sa.Column("candidate_id", sa.String, sa.ForeignKey("candidate.id")),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("annotator_id", sa.String, sa.ForeignKey("annotator.id"), nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.String, nullable=False),
    )
    op.create_index("ix_decision_choice_id_created_at", "decision", ["choice_id", "created_at"])
    # For people who open the file in sqlite3 or Datasette.
    op.execute(
        """
        CREATE VIEW standing_decision AS
        SELECT d.* FROM decision d
        WHERE d.id = (
            SELECT l.id FROM decision l WHERE l.choice_id = d.choice_id
            ORDER BY l.created_at DESC, l.id DESC LIMIT 1
        )
        """
    )
    op.execute(
        """
        CREATE VIEW pair AS
        SELECT ch.story_id, ch.id AS choice_id, ch.step, ch.prompt, c.text AS chosen, r.text AS rejected
        FROM standing_decision d
        JOIN choice ch ON ch.id = d.choice_id
        JOIN candidate c ON c.id = d.candidate_id
        JOIN candidate r ON r.choice_id = ch.id AND r.id <> c.id AND r.text <> c.text
        WHERE d.kind = 'chosen'
        """
    )
