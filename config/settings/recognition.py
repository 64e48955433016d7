"""Options of what happens to an image: decoding, encoding, the index, the verdict, the audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from config.settings.base import Section, Share


class Decoding(Section):
    """From a file to pixels."""

    max_pixels: int = Field(ge=1 << 16)
    preview_side: int = Field(ge=256, le=8192)
    timeout_seconds: float = Field(gt=0)
    processes: int = Field(ge=0, le=64)


class EncoderOptions(Section):
    """The network at work."""

    weights: str
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    batch_size: int = Field(ge=1, le=1024)
    batch_wait_ms: int = Field(ge=10, le=60_000)
    threads: int = Field(ge=0, le=256)


class IndexOptions(Section):
    """The nearest-neighbour index."""

    kind: Literal["hnsw", "exact", "lsh", "milvus"]
    m: int = Field(ge=4, le=128)
    ef_construction: int = Field(ge=16, le=2000)
    ef_search: int = Field(ge=16, le=5000)
    lsh_bits: int = Field(ge=1, le=16)
    lsh_tables: int = Field(ge=1, le=256)
    lsh_candidates: int = Field(ge=1, le=1_000_000)
    milvus_url: str
    milvus_token: str
    milvus_collection: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]
    candidates: int = Field(ge=1, le=5000)
    keep: int = Field(ge=1, le=5000)
    snapshot_every: int = Field(ge=1)

    @model_validator(mode="after")
    def _has_cluster(self) -> IndexOptions:
        if self.kind == "milvus" and not self.milvus_url:
            raise ValueError("index.kind milvus needs the address of the cluster in index.milvus_url")
        return self


class CalibrationOptions(Section):
    """What a similarity is worth."""

    file: str
    min_patients: int = Field(ge=20)


class VerdictOptions(Section):
    """Rates before any image is seen, and the alert budget."""

    base_rate: Share
    duplicate_rate: Share
    owner_in_gallery: Share
    header_error_rate: float = Field(gt=0.0, lt=0.5)
    min_probability: float = Field(ge=0.0, le=1.0)
    alerts_per_1000: float = Field(ge=0.0, le=1000.0)
    records_share: float = Field(ge=0.0, le=1.0)
    record_weight: float = Field(ge=0.0, le=1.0)
    budget_window: int = Field(ge=10, le=1_000_000)


class AuditOptions(Section):
    """The audit of the whole archive."""

    min_probability: float = Field(ge=0.0, le=1.0)
    alerts_per_1000: float = Field(ge=0.0, le=1000.0)
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
