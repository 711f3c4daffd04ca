"""The few things that can be mended without losing anything; every one of them is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import delete, select
from sqlmodel import Session, col

from spresso_assets.catalog.asset_text import refresh_text
from spresso_assets.catalog.models import Asset, CodecModel, Embedding, EncodeProfile, Rendition
from spresso_assets.verify.finding import Finding

# Renditions that cannot be used: they are marked, kept, and made again.
UNUSABLE = frozenset(
    (
        *("payload_corrupt", "header_differs", "not_spr", "spr_version", "spr_truncated", "spr_corrupt"),
        *("decode_nonfinite", "decode_length", "decode_silent"),
    )
)

Queue = Callable[[Session, Asset, EncodeProfile], str | None]


def repair(session: Session, findings: Sequence[Finding], queue: Queue) -> list[str]:
    """Mend what is safe to mend; nothing but derived rows is ever dropped.

    Args:
        queue: asks for a sound to be encoded (`jobs.plan.enqueue_encode`, which this room must not know).

    Returns:
        one line per thing done.
    """
    done = []
    for rendition_id in dict.fromkeys(f.rendition_id for f in findings if f.code in UNUSABLE and f.rendition_id):
        rendition = session.get(Rendition, rendition_id)
        if rendition is None or rendition.status != "ready":
            continue
        asset, profile = (
            session.get_one(Asset, rendition.asset_id),
            session.get_one(EncodeProfile, rendition.profile_id),
        )
        rendition.status = "corrupt"
        session.add(rendition)
        session.flush()
        queued = queue(session, asset, profile)
        then = "queued to be encoded again" if queued else "is being encoded already"
        done.append(f"{asset.uid[:8]} {profile.name}: marked corrupt, {then}")
    if any(finding.code == "orphan_embeddings" for finding in findings):
        retired = select(col(CodecModel.id)).where(col(CodecModel.state) == "retired")
        gone = session.connection().execute(delete(Embedding).where(col(Embedding.model_id).in_(retired)))
        done.append(f"{gone.rowcount} embeddings of retired models dropped")
    if any(finding.code == "text_missing" for finding in findings):
        from spresso_assets.catalog.models import AssetText

        unheard = select(col(Asset.id)).where(
            col(Asset.deleted_at).is_(None), col(Asset.id).not_in(select(col(AssetText.asset_id)))
        )
        ids = [asset_id for asset_id in session.connection().execute(unheard).scalars() if asset_id is not None]
        for asset_id in ids:
            refresh_text(session, asset_id)
        done.append(f"{len(ids)} sounds can be found by words again")
    return done
