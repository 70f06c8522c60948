"""Consistency losses of D-SELACFP: between modalities, and between branches."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from vireid_cli.losses.consistency import distance_graph, slot_divergence, symmetric_divergence
from vireid_cli.methods.dselacfp.branch import Outputs
from vireid_cli.methods.dselacfp.options import ConsistencyOptions, GraphOptions


def between_modalities(options: ConsistencyOptions, shared: Outputs, labels: Tensor) -> dict[str, Tensor]:
    """Weighted losses between the shared branch's visible and infrared rows: ``graph_intra`` …"""
    visible, infrared = shared.logits.chunk(2)
    terms = {}
    if options.graph.intra:
        terms["graph_intra"] = options.graph.intra * _graph_intra(shared.pooled, options.graph)
    if options.logit.intra:
        terms["logit_intra"] = options.logit.intra * symmetric_divergence(visible, infrared)
    if options.slot.intra:
        terms["slot_intra"] = options.slot.intra * slot_divergence(visible, infrared, labels)
    return terms


def between_branches(
    options: ConsistencyOptions, shared: Outputs, specific: Outputs, labels: Tensor
) -> dict[str, Tensor]:
    """Weighted losses between both branches, sums over the modalities: ``graph_inter`` …"""
    if options.detach == "specific":
        specific = Outputs(*(part.detach() for part in specific))
    logits = list(zip(shared.logits.chunk(2), specific.logits.chunk(2), strict=True))
    terms = {}
    if options.graph.inter:
        pooled = zip(shared.pooled.chunk(2), specific.pooled.chunk(2), strict=True)
        graphs = [[_graph(rows, options.graph) for rows in pair] for pair in pooled]
        terms["graph_inter"] = options.graph.inter * _total(symmetric_divergence(*g) for g in graphs)
    if options.logit.inter:
        terms["logit_inter"] = options.logit.inter * _total(symmetric_divergence(*p) for p in logits)
    if options.slot.inter:
        each = (slot_divergence(*pair, labels) for pair in logits)
        terms["slot_inter"] = options.slot.inter * _total(each)
    return terms


def _graph_intra(pooled: Tensor, options: GraphOptions) -> Tensor:
    """Divergence of the modalities' graphs, and of both from a mixed one if ``cross`` is ``idkl``."""
    visible, infrared = pooled.chunk(2)
    graphs = _graph(visible, options), _graph(infrared, options)
    loss = symmetric_divergence(*graphs)
    if options.cross == "idkl":
        half = len(visible) // 2
        mixed = _graph(torch.cat([visible[:half], infrared[: len(visible) - half]]), options)
        loss = loss + symmetric_divergence(graphs[0], mixed) + symmetric_divergence(mixed, graphs[1])
    return loss


def _graph(rows: Tensor, options: GraphOptions) -> Tensor:
    return distance_graph(rows, options.sign, options.normalize)


def _total(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
