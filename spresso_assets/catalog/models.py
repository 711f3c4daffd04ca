"""Every table of the catalog under one name; importing this module registers all of them in `metadata`."""

from sqlmodel import SQLModel

from spresso_assets.catalog.tables_assets import (
    Asset,
    AssetField,
    AssetTag,
    AssetText,
    Collection,
    CollectionItem,
    RawChunk,
    Tag,
)
from spresso_assets.catalog.tables_codec import CodecModel, Embedding, EncodeProfile, Rendition
from spresso_assets.catalog.tables_files import SourceFile, WatchRoot
from spresso_assets.catalog.tables_scans import ScanFind, ScanFolder, ScanRun, ScanStep
from spresso_assets.catalog.tables_work import (
    ApiToken,
    Batch,
    CatalogSetting,
    Delivery,
    EventLog,
    Job,
    QueuePause,
    Worker,
)

metadata = SQLModel.metadata

__all__ = [
    "ApiToken",
    "Asset",
    "AssetField",
    "AssetTag",
    "AssetText",
    "Batch",
    "CatalogSetting",
    "CodecModel",
    "Collection",
    "CollectionItem",
    "Delivery",
    "Embedding",
    "EncodeProfile",
    "EventLog",
    "Job",
    "QueuePause",
    "RawChunk",
    "Rendition",
    "ScanFind",
    "ScanFolder",
    "ScanRun",
    "ScanStep",
    "SourceFile",
    "Tag",
    "WatchRoot",
    "Worker",
    "metadata",
]
