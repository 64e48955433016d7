"""The networks: an attention-hash network on a torchvision backbone, and a regional network beside it."""

from retrieval.networks.attention import Descriptor
from retrieval.networks.attention_hash import AttentionHashNetwork, Branches, Outputs
from retrieval.networks.backbone import Backbone
from retrieval.networks.recogniser import Recogniser
from retrieval.networks.regional import RegionalNetwork

__all__ = ["AttentionHashNetwork", "Backbone", "Branches", "Descriptor", "Outputs", "Recogniser", "RegionalNetwork"]
