"""The networks: a torchvision backbone with an identity head and an attention-hash head."""

from retrieval.networks.attention_hash import AttentionHashNetwork, Outputs
from retrieval.networks.backbone import Backbone

__all__ = ["AttentionHashNetwork", "Backbone", "Outputs"]
