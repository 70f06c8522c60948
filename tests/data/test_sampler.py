"""The P×K sampler: its law, its reproducibility, its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vireid_cli.data import sampler as module
from vireid_cli.data.sampler import IdentitySampler
from vireid_cli.errors import UsageError


def columns(people: dict[int, tuple[int, int]], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled person numbers and modality codes of {pid: (visible images, infrared images)}."""
    rows = [(pid, code) for pid, counts in people.items() for code in (0, 1) for _ in range(counts[code])]
    order = np.random.default_rng(seed).permutation(len(rows))
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)[order]
    return table[:, 0], table[:, 1].astype(np.uint8)


PEOPLE = {30: (3, 2), 7: (1, 5), 12: (4, 4), 99: (2, 1), 50: (6, 3)}


@given(
    people=st.dictionaries(
        st.integers(0, 10**6), st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12
    ),
    identities=st.integers(2, 4),
    images=st.integers(1, 5),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 200),
)
@settings(max_examples=60, deadline=None)
def test_every_batch_is_p_identities_times_k_images(
    people: dict[int, tuple[int, int]], identities: int, images: int, seed: int, epoch: int
) -> None:
    pids, codes = columns(people)
    usable = sorted(pid for pid, counts in people.items() if min(counts) > 0)
    if len(usable) < identities:
        with pytest.raises(UsageError, match=f"there are {len(usable)}"):
            IdentitySampler(pids, codes, identities, images, seed)
        return
    sampler = IdentitySampler(pids, codes, identities, images, seed)
    assert sampler.dropped == sorted(pid for pid, counts in people.items() if min(counts) == 0 < max(counts))
    assert sampler.labels_of == {pid: label for label, pid in enumerate(usable)}
    assert sampler.num_identities == len(usable)
    larger = max(sum(people[pid][code] for pid in usable) for code in (0, 1))
    plan = sampler.plan(epoch)
    assert len(plan) == sampler.steps == larger // (identities * images) + 1
    for step in range(len(plan)):
        labels = plan.labels[step].reshape(identities, images)
        assert (labels == labels[:, :1]).all()  # contiguous by identity
        assert len(set(labels[:, 0].tolist())) == identities  # without replacement
        for rows, code in ((plan.visible[step], 0), (plan.infrared[step], 1)):
            assert (codes[rows] == code).all()
            assert [sampler.labels_of[pid] for pid in pids[rows].tolist()] == plan.labels[step].tolist()


def test_steps_of_the_field_on_sysu() -> None:
    # 395 identities, 22,258 visible and 11,909 infrared images, 8 × 4: floor(22258 / 32) + 1
    pids = np.concatenate([np.arange(22_258) % 395, np.arange(11_909) % 395])
    codes = np.repeat([0, 1], [22_258, 11_909])
    assert IdentitySampler(pids, codes, 8, 4, 0).steps == 696
    assert IdentitySampler(pids, codes, 8, 4, 0, steps=5).plan(0).visible.shape == (5, 32)


def test_seed_and_epoch_are_the_only_keys() -> None:
    pids, codes = columns(PEOPLE)
    sampler = IdentitySampler(pids, codes, 3, 2, 5, steps=20)
    first = sampler.plan(4)
    sampler.plan(9)
    repeated = IdentitySampler(pids, codes, 3, 2, 5, steps=20).plan(4)
    for name in ("visible", "infrared", "labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(repeated, name))
    assert (first.labels != sampler.plan(5).labels).any()
    assert (first.labels != IdentitySampler(pids, codes, 3, 2, 6, steps=20).plan(4).labels).any()


def test_identities_are_equally_likely_at_every_place() -> None:
    pids, codes = columns(PEOPLE)
    plan = IdentitySampler(pids, codes, 3, 1, 0, steps=6000).plan(0)
    for place in range(3):
        share = np.bincount(plan.labels[:, place], minlength=5) / 6000
        assert np.abs(share - 0.2).max() < 0.025  # 4.8 standard deviations of a share


def test_images_are_drawn_uniformly_and_with_replacement() -> None:
    pids, codes = columns(PEOPLE)
    plan = IdentitySampler(pids, codes, 2, 4, 1, steps=4000).plan(0)
    for rows, code in ((plan.visible, 0), (plan.infrared, 1)):
        for pid, counts in PEOPLE.items():
            drawn = rows[pids[rows] == pid]
            own = np.flatnonzero((pids == pid) & (codes == code))
            assert set(drawn.tolist()) == set(own.tolist())
            share = np.array([(drawn == row).mean() for row in own])
            assert np.abs(share - 1 / counts[code]).max() < 0.03
    # 99 has one infrared image: four times the same
    rows = plan.infrared[plan.labels == IdentitySampler(pids, codes, 2, 4, 1).labels_of[99]]
    assert len(np.unique(rows)) == 1


def test_memory_blocks_do_not_change_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    pids, codes = columns(PEOPLE)
    sampler = IdentitySampler(pids, codes, 3, 2, 5, steps=50)
    whole = sampler.plan(0)
    monkeypatch.setattr(module, "KEYS_AT_ONCE", 35)
    np.testing.assert_array_equal(whole.labels, sampler.plan(0).labels)


def test_an_identity_with_one_modality_is_left_out_and_listed() -> None:
    pids, codes = columns({**PEOPLE, 8: (3, 0), 60: (0, 2)})
    sampler = IdentitySampler(pids, codes, 5, 1, 0)
    assert sampler.dropped == [8, 60]
    assert list(sampler.labels_of) == [7, 12, 30, 50, 99]
    used = np.concatenate([sampler.plan(0).visible.ravel(), sampler.plan(0).infrared.ravel()])
    assert not set(pids[used].tolist()) & {8, 60}
    with pytest.raises(UsageError, match="needs 6 identities") as error:
        IdentitySampler(pids, codes, 6, 1, 0)
    assert "data.sampler.identities" in error.value.hint
