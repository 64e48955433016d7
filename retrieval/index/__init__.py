"""Nearest-neighbour indexes over embeddings, their snapshots, and the re-rank by hash code."""

from retrieval.index.base import Candidates, GalleryIndex
from retrieval.index.exact import ExactIndex
from retrieval.index.hnsw import HnswIndex, HnswOptions
from retrieval.index.lsh import LshIndex, LshOptions
from retrieval.index.milvus import MilvusIndex, MilvusOptions
from retrieval.index.rerank import Ranked, rerank

__all__ = [
    "Candidates",
    "ExactIndex",
    "GalleryIndex",
    "HnswIndex",
    "HnswOptions",
    "LshIndex",
    "LshOptions",
    "MilvusIndex",
    "MilvusOptions",
    "Ranked",
    "rerank",
]
