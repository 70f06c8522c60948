"""SFCL's network: AGW's, with CFAM and SFIM between its last map and its neck."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.backbones.two_stream import TwoStream
from vireid_cli.errors import UsageError
from vireid_cli.frequency import fourier
from vireid_cli.frequency.gabor import Gabor
from vireid_cli.frequency.products import real
from vireid_cli.frequency.transport import transported
from vireid_cli.layers.cfam import Cfam, Spectral
from vireid_cli.layers.choice import Choice, opposite
from vireid_cli.layers.neck import bn_neck, classifier
from vireid_cli.layers.nonlocal_block import NonLocal
from vireid_cli.layers.pairs import partners
from vireid_cli.layers.pixels import Normalise, exchange_channels
from vireid_cli.layers.pooling import generalised_mean
from vireid_cli.layers.prototypes import Prototypes
from vireid_cli.layers.sfim import Sfim
from vireid_cli.losses.fad import frequency_contrast, semantic_consistency
from vireid_cli.losses.identity import identity_loss
from vireid_cli.losses.triplet import weighted_regularised_triplet
from vireid_cli.methods import BACKBONE, GatheredNetwork, ParameterGroup, TrainingImages, trainable
from vireid_cli.methods.sfcl.options import Options, TransportOptions
from vireid_cli.sharding.share import sum_over_ranks
from vireid_cli.types import Batch, Modality
from vireid_cli.unit_rows import unit


class PathMaps(NamedTuple):
    """Spatial and frequency maps of images on a path, (N, C, h, w) each, visible first."""

    spatial: Tensor
    frequency: Tensor


class Sfcl(GatheredNetwork):
    """AGW's network with CFAM and SFIM between its last map and its neck.

    Args:
        options: Switches and weights.
        num_identities: Width of the classifier.
        backbone: Specification of the trunk.
    """

    calibrates_shares = True

    def __init__(self, options: Options, num_identities: int, backbone: BackboneSpec) -> None:
        super().__init__()
        self.options = options
        self.normalise = Normalise()
        self.trunk = TwoStream(backbone)
        self.trunk.insert("layer2", 2, NonLocal)
        self.trunk.insert("layer3", 3, NonLocal)
        channels = self.trunk.channels["layer4"]
        self.cfam = _cfam(options, channels) if options.cfam.on else None
        self.change: Tensor | None = None  # |O − X|/|X|, for ``monitors``
        prototype = options.inference == "prototype"
        self.prototypes = Prototypes(channels, options.cfam.dim) if prototype else None
        self.sfim: Sfim | None = None
        self.gabor: Gabor | None = None
        if options.sfim.on:
            sizes = options.sfim.model_dump(exclude={"on"})
            self.sfim = Sfim(channels, **sizes, attn=options.attn, power=options.gem_power)
            self.gabor = Gabor(options.gabor.domain, options.gabor.keep_dc, options.gabor.learn)
        self.neck = bn_neck(channels)
        self.classifier = classifier(channels, num_identities)
        self.contrasts = options.cfc.on and options.cfc.weight > 0.0
        if self.contrasts:
            norm = nn.BatchNorm1d(channels) if options.cfc.norm == "batch" else nn.Identity()
            self.contrast = nn.Sequential(norm, nn.Linear(channels, 256, bias=False))

    def features(self, batch: Batch) -> dict[str, Tensor]:
        """Compute ``pooled`` features (paths·2·count, C), and ``frequency`` ones (2·count, C) for ``cfc``.

        Raises:
            ValueError: ``caj_views`` is 2 and the batch has no second view.
        """
        images = self.inputs(batch)
        count = self.options.caj_views * len(batch.labels)
        maps = self.trunk(images, count)  # (count + B, C, h, w)
        paths = self.paths(maps[:count], maps[count:], batch.labels)
        self.change = _relative_change(paths[0].frequency, paths[0].spatial)
        pooled = self.fuse(torch.cat([p.spatial for p in paths]), torch.cat([p.frequency for p in paths]))
        features = {"pooled": pooled}
        if self.contrasts:
            # A plain mean of frequency maps would depend on one bin only.
            features["frequency"] = generalised_mean(paths[0].frequency.relu(), self.options.gem_power)
        return features

    def losses_of(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Weighted ``identity``, ``wrt``, ``cfc``, ``csc``: L_id + L_tri + 1.0 L_cfc + 0.8 L_csc."""
        options, pooled = self.options, features["pooled"]
        count = options.caj_views * len(labels)
        logits = self.classifier(self.neck(pooled))  # (paths·2·count, identities)
        of_one = labels.repeat(2 * options.caj_views)  # of one path
        of_paths = pooled.unflatten(0, (-1, len(of_one)))  # (paths, 2·count, C)
        paths = len(of_paths)
        terms = {"identity": options.identity_weight * identity_loss(logits, of_one.repeat(paths))}
        if options.triplet_weight:
            loss = weighted_regularised_triplet(of_paths, of_one) / paths
            terms["wrt"] = options.triplet_weight * loss
        if self.contrasts:
            terms["cfc"] = options.cfc.weight * self._contrast(features["frequency"], of_one[:count])
        if options.csc.on and options.csc.weight:
            first = logits[: 2 * count]
            loss = semantic_consistency(of_paths[0], first, count, options.csc.k, options.csc.detach)
            terms["csc"] = options.csc.weight * loss
        return terms

    def embed(self, images: Tensor, modality: Choice) -> Tensor:
        """Embed (N, 3, H, W) pixels, each image alone: (N, D) rows of unit length."""
        spatial = self.trunk(self.normalise(images), modality)
        feature = self.fuse(spatial, self._unpaired(spatial, modality))
        return F.normalize(self.neck(feature).float(), dim=1)

    def calibrate(self, images: TrainingImages) -> None:
        """Compute the mean tokens of all training images, if ``inference`` needs them."""
        if self.prototypes is not None:
            self.prototypes.learn({m: map(partial(self._spectra, m), images(m)) for m in Modality})

    def monitors(self) -> dict[str, Tensor]:
        """Return γ, ω and β, which start at 0, and |O − X|/|X| of the last batch on the first path."""
        values: dict[str, Tensor] = {}
        if self.cfam is not None:
            values["cfam.omega"] = self.cfam.fusion.detach()
            if self.cfam.gamma is not None:
                values["cfam.gamma"] = self.cfam.gamma.detach()
            if self.change is not None:
                values["cfam.change"] = self.change
        if self.sfim is not None:
            values["sfim.beta"] = self.sfim.beta.detach()
        return values

    def parameter_groups(self) -> list[ParameterGroup]:
        """The trunk as backbone, the rest at the full rate; scalars, norms, A and D without decay.

        At a tenth of the rate, parameters that start at 0 learn too slowly (our reading).
        """
        spared = {id(p) for m in (self.cfam, self.sfim) if m is not None for p in m.undecayed()}
        if self.gabor is not None:
            spared |= {id(parameter) for parameter in self.gabor.parameters()}
        backbone = {id(parameter) for parameter in self.trunk.parameters()}
        rest = [p for p in trainable(self) if id(p) not in backbone]
        groups = [
            ParameterGroup(BACKBONE, trainable(self.trunk)),
            ParameterGroup("heads", [p for p in rest if id(p) not in spared]),
        ]
        undecayed = [p for p in rest if id(p) in spared]
        return [*groups, ParameterGroup("undecayed", undecayed, weight_decay=False)] if undecayed else groups

    def inputs(self, batch: Batch) -> Tensor:
        """Network input of V, V' (if used) and infrared images: normalise, erase, exchange channels."""
        views, exchange, erase = [batch.visible], batch.exchange, batch.erase
        masks = [] if erase is None else [erase.visible]
        weights = [] if exchange is None else [exchange.visible]
        if self.options.caj_views == 2:
            if batch.second is None:
                raise ValueError("caj_views is 2, which needs a second view: set augment.second_view to true")
            views.append(batch.second)
            if erase is not None:
                masks.append(torch.zeros_like(masks[0]) if erase.second is None else erase.second)
            if exchange is not None:
                weights.append(exchange.second)
        if erase is not None:
            masks.append(erase.infrared)
        mask = torch.cat(masks) if masks else None
        images = self.normalise(torch.cat([*views, batch.infrared]), mask, erase)
        if exchange is None:
            return images
        unchanged = torch.zeros_like(exchange.infrared)
        rows = [unchanged if view is None else view for view in weights]
        return exchange_channels(images, torch.cat([*rows, exchange.infrared]))

    def paths(self, visible: Tensor, infrared: Tensor, labels: Tensor) -> list[PathMaps]:
        """Maps of all pairs on each path, ``cross`` first; infrared maps repeat for each of their pairs."""
        views, shuffled = len(visible) // len(labels), self.options.pair == "same_id_shuffled"
        infrared = infrared[partners(labels, views, shuffled)]
        spatial = torch.cat([visible, infrared])
        if self.cfam is None:
            return [PathMaps(spatial, spatial)]
        encoded, count = self.encode(spatial), len(visible)
        sides = encoded.take(slice(0, count)), encoded.take(slice(count, None))
        size, maps = (spatial.shape[2], spatial.shape[3]), []
        for path in sorted(self.options.paths):  # cross before self
            if path == "cross":
                spectra = self.cfam.align(*sides)
            else:
                alone = [self.cfam.alone(side, m) for side, m in zip(sides, Modality, strict=True)]
                spectra = alone[0], alone[1]
            bins = [torch.cat(parts) for parts in zip(*spectra, strict=True)]
            maps.append(PathMaps(spatial, self.rebuild((bins[0], bins[1]), size)))
        return maps

    def _unpaired(self, spatial: Tensor, modality: Choice) -> Tensor:
        """Frequency maps of images without a partner."""
        if self.cfam is None or self.options.inference == "none":
            return spatial
        encoded = self.encode(spatial)
        if self.prototypes is None:
            spectrum = self.cfam.alone(encoded, modality)
        elif self.prototypes.empty:
            raise UsageError(
                "method.options.inference is 'prototype', but this network has no mean tokens of the "
                "training images, because no epoch was completed.",
                "Complete one epoch (vireid train --resume RUN), or train with inference: self.",
            )
        else:
            partners = self.prototypes.of(opposite(modality), encoded)
            spectrum = self.cfam.facing(encoded, partners, modality)
        return self.rebuild(spectrum, (spatial.shape[2], spatial.shape[3]))

    def _spectra(self, modality: Modality, images: Tensor) -> Spectral:
        """Spectra and tokens of unnormalised pixels of one modality."""
        return self.encode(self.trunk(self.normalise(images), modality))

    def encode(self, maps: Tensor) -> Spectral:
        """Compute the spectra and tokens of maps (N, C, h, w)."""
        assert self.cfam is not None
        bins = fourier.spectrum(maps)
        angle = fourier.phase(bins) if self.options.cfam.phase_repr == "angle" else None
        return self.cfam.encode(bins, angle)

    def rebuild(self, spectrum: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
        """Transform the parts (N, C, bins) of a half spectrum back to maps (N, C, h, w) of ``size``."""
        grid = (size[0], size[1] // 2 + 1)
        return fourier.inverse((spectrum[0].unflatten(2, grid), spectrum[1].unflatten(2, grid)), size)

    def fuse(self, spatial: Tensor, frequency: Tensor) -> Tensor:
        """O_sf of each image, (N, C) float32."""
        spatial, frequency = real(spatial), real(frequency)
        if self.sfim is None or self.gabor is None:
            return generalised_mean((spatial + frequency) / 2, self.options.gem_power)
        feature: Tensor = self.sfim(spatial, frequency, self.gabor(frequency))
        return feature

    def _contrast(self, pooled: Tensor, labels: Tensor) -> Tensor:
        """L_cfc of one path's pooled frequency maps, visible first."""
        visible, infrared = unit(real(self.contrast(pooled))).chunk(2)
        options = self.options.cfc
        return frequency_contrast(visible, infrared, labels, options.tau, options.positives)


def _relative_change(changed: Tensor, maps: Tensor) -> Tensor:
    """|changed − maps| / |maps| over the whole batch, without gradient."""
    changed, maps = changed.detach().float(), maps.detach().float()
    squares = torch.stack([(changed - maps).square().sum(), maps.square().sum()])
    change, size = sum_over_ranks(squares).sqrt()
    return change / size.clamp_min(1e-12)


def _cfam(options: Options, channels: int) -> Cfam:
    carry = partial(carry_tokens, options=options.ot) if options.ot.on else None
    return Cfam(
        channels,
        options.cfam.dim,
        **options.tm.model_dump(),
        phase_repr=options.cfam.phase_repr,
        carry=carry,
    )


def carry_tokens(
    infrared: Spectral, visible: Spectral, source: Tensor, target: Tensor, options: TransportOptions
) -> tuple[Tensor, Tensor | None]:
    """Transport infrared tokens to visible positions and, for ``direction: both``, visible tokens back."""
    sides = (infrared, visible)
    features = [side.tokens if options.space == "token" else side.amplitude.mT for side in sides]
    shares: list[Tensor | None] = [None, None]
    if options.marginals == "energy":
        energy = [side.amplitude.mean(1).log1p() for side in sides]  # (B, N)
        shares = [e / e.sum(1, keepdim=True) for e in energy]
    return transported(
        features[0],
        features[1],
        source,
        epsilon=options.eps,
        iterations=options.iters,
        source_share=shares[0],
        target_share=shares[1],
        grad=options.grad,
        back=target if options.direction == "both" else None,
    )
