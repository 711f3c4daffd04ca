"""The first tables: files, assets with field provenance, models, profiles, renditions, jobs and housekeeping."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = (
    "rendition",
    "raw_chunk",
    "job",
    "asset_field",
    "source_file",
    "encode_profile",
    "embedding",
    "collection_item",
    "asset_text",
    "asset_tag",
    "watch_root",
    "tag",
    "queue_pause",
    "event_log",
    "collection",
    "codec_model",
    "catalog_setting",
    "batch",
    "asset",
    "api_token",
)  # dependants first


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
        sa.UniqueConstraint("name", name="uq_api_token_name"),
        sa.UniqueConstraint("token_sha256", name="uq_api_token_token_sha256"),
    )
    op.create_table(
        "asset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("audio_hash", sa.Text(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("duration", sa.Float(), nullable=False),
        sa.Column("sample_rate", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("channel_layout", sa.Text(), nullable=True),
        sa.Column("bit_depth", sa.Integer(), nullable=True),
        sa.Column("container", sa.Text(), nullable=True),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("loudness", sa.Float(), nullable=True),
        sa.Column("fx_name", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("keywords", sa.Text(), nullable=True),
        sa.Column("cat_id", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("subcategory", sa.Text(), nullable=True),
        sa.Column("user_category", sa.Text(), nullable=True),
        sa.Column("vendor_category", sa.Text(), nullable=True),
        sa.Column("creator_id", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Text(), nullable=True),
        sa.Column("user_data", sa.Text(), nullable=True),
        sa.Column("library", sa.Text(), nullable=True),
        sa.Column("manufacturer", sa.Text(), nullable=True),
        sa.Column("designer", sa.Text(), nullable=True),
        sa.Column("microphone", sa.Text(), nullable=True),
        sa.Column("mic_perspective", sa.Text(), nullable=True),
        sa.Column("rec_medium", sa.Text(), nullable=True),
        sa.Column("rec_type", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("track_year", sa.Text(), nullable=True),
        sa.Column("bext_originator", sa.Text(), nullable=True),
        sa.Column("bext_originator_ref", sa.Text(), nullable=True),
        sa.Column("bext_date", sa.Text(), nullable=True),
        sa.Column("bext_time_reference", sa.Text(), nullable=True),
        sa.Column("umid", sa.Text(), nullable=True),
        sa.Column("rating", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("peaks", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_asset"),
        sa.UniqueConstraint("audio_hash", name="uq_asset_audio_hash"),
        sa.UniqueConstraint("uid", name="uq_asset_uid"),
    )
    op.create_index("ix_asset_cat_id", "asset", ["cat_id"])
    op.create_index("ix_asset_duration", "asset", ["duration"])
    op.create_index("ix_asset_library", "asset", ["library"])
    op.create_index("ix_asset_updated_at", "asset", ["updated_at"])
    op.create_table(
        "batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=True),
        sa.Column("pause_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
        sa.UniqueConstraint("uid", name="uq_batch_uid"),
    )
    op.create_table(
        "catalog_setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_catalog_setting"),
    )
    op.create_table(
        "codec_model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("weights_sha256", sa.Text(), nullable=False),
        sa.Column("latent_kind", sa.Text(), nullable=False),
        sa.Column("latent_dim", sa.Integer(), nullable=False),
        sa.Column("sample_rate", sa.Integer(), nullable=False),
        sa.Column("license", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_codec_model"),
        sa.UniqueConstraint("weights_sha256", name="uq_codec_model_weights_sha256"),
    )
    op.create_table(
        "collection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collection"),
        sa.UniqueConstraint("name", name="uq_collection_name"),
    )
    op.create_table(
        "event_log",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("object_kind", sa.Text(), nullable=False),
        sa.Column("object_uid", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_event_log"),
    )
    op.create_index("ix_event_log_at", "event_log", ["at"])
    op.create_index("ix_event_log_object", "event_log", ["object_kind", "object_uid"])
    op.create_table(
        "queue_pause",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("queue", name="pk_queue_pause"),
    )
    op.create_table(
        "tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag"),
        sa.UniqueConstraint("name_key", name="uq_tag_name_key"),
    )
    op.create_table(
        "watch_root",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=True),
        sa.Column("settle_s", sa.Float(), nullable=False),
        sa.Column("poll_s", sa.Float(), nullable=False),
        sa.Column("include", sa.JSON(), nullable=False),
        sa.Column("exclude", sa.JSON(), nullable=False),
        sa.Column("tags_from_dirs", sa.Boolean(), nullable=False),
        sa.Column("default_profile", sa.Text(), nullable=True),
        sa.Column("removal_cap", sa.Float(), nullable=False),
        sa.Column("abort_cap", sa.Float(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=True),
        sa.Column("last_event_at", sa.BigInteger(), nullable=True),
        sa.Column("last_scan_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("mode IN ('auto','native','poll','scan')", name="ck_watch_root_mode"),
        sa.CheckConstraint("state IN ('active','paused','offline')", name="ck_watch_root_state"),
        sa.PrimaryKeyConstraint("id", name="pk_watch_root"),
        sa.UniqueConstraint("name", name="uq_watch_root_name"),
        sa.UniqueConstraint("path", name="uq_watch_root_path"),
    )
    op.create_table(
        "asset_tag",
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_tag_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name="fk_asset_tag_tag_id_tag", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", "tag_id", name="pk_asset_tag"),
    )
    op.create_index("ix_asset_tag_tag_id", "asset_tag", ["tag_id"])
    op.create_table(
        "asset_text",
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("paths", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_text_asset_id_asset", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", name="pk_asset_text"),
    )
    op.create_table(
        "collection_item",
        sa.Column("collection_id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name="fk_collection_item_asset_id_asset", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collection.id"], name="fk_collection_item_collection_id_collection", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "asset_id", name="pk_collection_item"),
    )
    op.create_table(
        "embedding",
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_embedding_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["codec_model.id"], name="fk_embedding_model_id_codec_model"),
        sa.PrimaryKeyConstraint("asset_id", "model_id", "kind", name="pk_embedding"),
    )
    op.create_table(
        "encode_profile",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("params_hash", sa.Text(), nullable=False),
        sa.Column("nominal_kbps", sa.Float(), nullable=False),
        sa.Column("frame_rate_hz", sa.Float(), nullable=False),
        sa.Column("channel_mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('active','retired')", name="ck_encode_profile_state"),
        sa.ForeignKeyConstraint(["model_id"], ["codec_model.id"], name="fk_encode_profile_model_id_codec_model"),
        sa.PrimaryKeyConstraint("id", name="pk_encode_profile"),
        sa.UniqueConstraint("model_id", "params_hash", name="uq_encode_profile_model_id_params_hash"),
    )
    op.create_index(
        "uq_encode_profile_active_name",
        "encode_profile",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "source_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("rel_path", sa.Text(), nullable=False),
        sa.Column("path_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("ctime_ns", sa.BigInteger(), nullable=True),
        sa.Column("dev", sa.BigInteger(), nullable=True),
        sa.Column("inode", sa.BigInteger(), nullable=True),
        sa.Column("file_sha256", sa.Text(), nullable=True),
        sa.Column("container", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stable_since", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.Column("missing_since", sa.BigInteger(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("probed_size", sa.BigInteger(), nullable=True),
        sa.Column("probed_mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("asset_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('settling','present','missing','moved','offline','unreadable','ignored')",
            name="ck_source_file_state",
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_source_file_asset_id_asset"),
        sa.ForeignKeyConstraint(
            ["root_id"], ["watch_root.id"], name="fk_source_file_root_id_watch_root", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_source_file"),
        sa.UniqueConstraint("root_id", "rel_path", name="uq_source_file_root_id_rel_path"),
    )
    op.create_index("ix_source_file_asset_id", "source_file", ["asset_id"])
    op.create_index("ix_source_file_file_sha256", "source_file", ["file_sha256"])
    op.create_index("ix_source_file_inode", "source_file", ["dev", "inode"])
    op.create_index("ix_source_file_path_key", "source_file", ["path_key"])
    op.create_index("ix_source_file_state", "source_file", ["state"])
    op.create_table(
        "asset_field",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_asset_field_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name="fk_asset_field_source_file_id_source_file", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_asset_field"),
        sa.UniqueConstraint(
            "asset_id", "source_file_id", "field", "source", name="uq_asset_field_asset_id_source_file_id_field_source"
        ),
    )
    op.create_index("ix_asset_field_source_file_id", "asset_field", ["source_file_id"])
    op.create_index(
        "uq_asset_field_no_file",
        "asset_field",
        ["asset_id", "field", "source"],
        unique=True,
        sqlite_where=sa.text("source_file_id IS NULL"),
        postgresql_where=sa.text("source_file_id IS NULL"),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=True),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.Column("profile_id", sa.Integer(), nullable=True),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("cost_s", sa.Float(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("celery_id", sa.Text(), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(status = 'running') = (lease_owner IS NOT NULL)", name="ck_job_running_has_owner"),
        sa.CheckConstraint("(status = 'running') = (lease_until IS NOT NULL)", name="ck_job_running_has_lease"),
        sa.CheckConstraint("status IN ('queued','running','succeeded','failed','cancelled')", name="ck_job_status"),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_job_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_job_batch_id_batch", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["profile_id"], ["encode_profile.id"], name="fk_job_profile_id_encode_profile"),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name="fk_job_source_file_id_source_file", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("uid", name="uq_job_uid"),
    )
    op.create_index("ix_job_asset_id", "job", ["asset_id"])
    op.create_index("ix_job_batch_status", "job", ["batch_id", "status"])
    op.create_index("ix_job_dedupe_key", "job", ["dedupe_key"])
    op.create_index(
        "ix_job_lease",
        "job",
        ["lease_until"],
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index(
        "ix_job_ready",
        "job",
        ["queue", "crashes", "priority", "id"],
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("ix_job_source_file_id", "job", ["source_file_id"])
    op.create_index("ix_job_status_error", "job", ["status", "error_code"])
    op.create_index(
        "uq_job_active_dedupe_key",
        "job",
        ["dedupe_key"],
        unique=True,
        sqlite_where=sa.text("status IN ('queued','running')"),
        postgresql_where=sa.text("status IN ('queued','running')"),
    )
    op.create_table(
        "raw_chunk",
        sa.Column("source_file_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("chunk_id", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name="fk_raw_chunk_source_file_id_source_file", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_file_id", "position", name="pk_raw_chunk"),
    )
    op.create_table(
        "rendition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("encoder_build", sa.Text(), nullable=False),
        sa.Column("payload_sha256", sa.Text(), nullable=False),
        sa.Column("payload_bytes", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("actual_kbps", sa.Float(), nullable=False),
        sa.Column("decode_seed", sa.BigInteger(), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("status IN ('ready','superseded','corrupt')", name="ck_rendition_status"),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name="fk_rendition_asset_id_asset", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_rendition_job_id_job", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["profile_id"], ["encode_profile.id"], name="fk_rendition_profile_id_encode_profile"),
        sa.PrimaryKeyConstraint("id", name="pk_rendition"),
        sa.UniqueConstraint("uid", name="uq_rendition_uid"),
    )
    op.create_index("ix_rendition_payload_sha256", "rendition", ["payload_sha256"])
    op.create_index("ix_rendition_profile_status", "rendition", ["profile_id", "status"])
    op.create_index(
        "uq_rendition_ready",
        "rendition",
        ["asset_id", "profile_id"],
        unique=True,
        sqlite_where=sa.text("status = 'ready'"),
        postgresql_where=sa.text("status = 'ready'"),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
