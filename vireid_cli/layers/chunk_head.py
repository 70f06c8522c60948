"""Separate heads for many parts, computed as one batched product (docs/methods.md#sepg-net-network)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vireid_cli.layers.choice import Choice, choose
from vireid_cli.types import Modality


class ChunkHeads(nn.Module):
    """Head of each part: Linear → batch norm → dropout → Linear to identities.

    The weights of all parts share one tensor per layer, so that a step takes few operations for any number
    of parts. The first Linear has no bias, which the batch norm would remove. With ``parts`` 1 this is the
    head of the whole map.

    Args:
        parts: Number of parts.
        inputs: Features of a part before the head.
        features: Features of a part's embedding; 512 in SEPG-Net.
        identities: Number of training identities; 0 builds no classifier.
        dropout: Probability that a feature is dropped before the classifier.
    """

    def __init__(self, parts: int, inputs: int, features: int, identities: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(parts, features, inputs))
        # Kaiming normal, fan_out: the number of outputs of one part.
        nn.init.normal_(self.weight, std=(2.0 / features) ** 0.5)
        self.norm = nn.BatchNorm1d(parts * features)
        nn.init.normal_(self.norm.weight, 1.0, 0.01)
        self.dropout = nn.Dropout(dropout)
        self.identities = identities
        if identities:
            self.classifier_weight = nn.Parameter(torch.empty(parts, features, identities))
            self.classifier_bias = nn.Parameter(torch.zeros(parts, 1, identities))
            nn.init.normal_(self.classifier_weight, std=0.001)

    def embed(self, pooled: Tensor) -> Tensor:
        """Embeddings after the batch norm, before dropout: (B, inputs, parts) → (parts, B, features)."""
        parts, features, _ = self.weight.shape
        hidden = torch.bmm(self.weight, pooled.permute(2, 1, 0))  # (parts, features, B)
        # One batch norm over the features of all parts; the batch is its last axis, which avoids a copy.
        normed = self.norm(hidden.view(1, parts * features, -1))  # (1, parts·features, B)
        return normed.view(parts, features, -1).mT

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits: (parts, B, features) → (parts, B, identities)."""
        return torch.baddbmm(self.classifier_bias, embeddings, self.classifier_weight)

    def classifier_parameters(self) -> list[nn.Parameter]:
        """Weights and biases of the classifiers; empty without classifiers."""
        return [self.classifier_weight, self.classifier_bias] if self.identities else []


class ModalityHeads(nn.Module):
    """A head per modality on the whole pooled map: SEPG-Net's specific branches.

    Args:
        inputs: Features before the heads.
        features: Features of an embedding.
        identities: Number of training identities.
        dropout: Probability that a feature is dropped before the classifier.
    """

    def __init__(self, inputs: int, features: int, identities: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.visible = ChunkHeads(1, inputs, features, identities, dropout)
        self.infrared = ChunkHeads(1, inputs, features, identities, dropout)

    def of(self, modality: Modality) -> ChunkHeads:
        """Head of one modality."""
        return self.visible if modality is Modality.VISIBLE else self.infrared

    def embed(self, pooled: Tensor, modality: Choice) -> Tensor:
        """Embeddings, each by the head of its modality: (B, inputs) → (1, B, features)."""
        column = pooled.unsqueeze(-1)
        return choose(
            modality, lambda: self.visible.embed(column), lambda: self.infrared.embed(column), dim=1
        )

    def logits(self, pooled: Tensor, visible: int) -> Tensor:
        """Logits of a batch with ``visible`` visible rows first: (B, inputs) → (B, identities)."""
        logits = []
        for modality, rows in ((Modality.VISIBLE, pooled[:visible]), (Modality.INFRARED, pooled[visible:])):
            head = self.of(modality)
            logits.append(head.classify(head.dropout(self.embed(rows, modality))).squeeze(0))
        return torch.cat(logits)
