"""Importing released checkpoints: every form of file and every release, to the same embedding."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.conftest import Listener
from vireid_cli import methods, releases
from vireid_cli.backbones.spec import BackboneSpec
from vireid_cli.data.identity import official_tokens
from vireid_cli.data.sources import sysu
from vireid_cli.engine.embed import load_trained
from vireid_cli.engine.evaluate.evaluate import evaluate_run
from vireid_cli.engine.evaluate.result import EvaluateOptions
from vireid_cli.engine.import_run import ImportedRun, import_run
from vireid_cli.engine.network import load_recipe
from vireid_cli.engine.session import Session
from vireid_cli.engine.train.resume import resume
from vireid_cli.errors import DataError, UsageError, VireidError
from vireid_cli.methods import ReIdNetwork
from vireid_cli.printable import printable_lines
from vireid_cli.releases import rules
from vireid_cli.types import Modality

NARROW = ("backbone.width=8", "backbone.weights=none", "data.size=[64,32]")
RECIPES = {"agw": "agw", "caj": "caj", "deen": "deen", "hctri": "hctri", "sepg": "sepg-release"}


@pytest.fixture
def session(tmp_path: Path, listener: Listener) -> Session:
    return Session.choose(
        "cpu", "fp32", reporter=listener, data_dir=tmp_path / "data", runs_dir=tmp_path / "runs"
    )


def narrow(release: str, identities: int, *settings: str, seed: int = 0) -> ReIdNetwork:
    """A release's network of an eighth of the width, with random weights and statistics."""
    recipe = load_recipe(RECIPES[release], (*NARROW, *settings))
    torch.manual_seed(seed)
    options = methods.options_of(recipe.method.name, recipe.method.options)
    network = methods.build(recipe.method.name, options, identities, BackboneSpec("resnet50", width=8))
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(std=0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith("weight") and value.dim() == 1:
            value.uniform_(0.5, 1.0)
    return network.eval()


def published(release: str, network: ReIdNetwork) -> dict[str, Tensor]:
    """The network under the release's keys: each rule backwards, biases before a batch norm made up."""
    state: dict[str, Tensor] = {}
    parts = {"hctri": 6, "sepg": 12}.get(release, 1)
    names = {
        "hctri": {f"local_conv_list.{i}.0.weight": torch.zeros(1) for i in range(parts)},
        "sepg": {f"classifier.classifier_{i}.add_block.0.weight": torch.zeros(1) for i in range(parts)},
    }.get(release, {})
    translation = releases.load(release).rules(names)
    for key, value in network.state_dict().items():
        for rule in translation:
            sources = rule.sources(key)
            if sources is None:
                continue
            count = len(sources)
            if rule.combine in (rules.only, rules.first):
                state |= {source: value.clone() for source in sources}
            elif rule.combine is rules.stacked:
                shape = (1, 1) if release == "hctri" else ()
                state |= {s: v.reshape(*v.shape, *shape).clone() for s, v in zip(sources, value, strict=True)}
            elif rule.combine is rules.stacked_transposed:
                state |= {s: v.mT.clone() for s, v in zip(sources, value, strict=True)}
            elif rule.combine is rules.stacked_biases:
                state |= {s: v[0].clone() for s, v in zip(sources, value, strict=True)}
            elif rule.combine is rules.joined:
                state |= {s: v.clone() for s, v in zip(sources, value.chunk(count), strict=True)}
            else:
                half = count // 2
                for mean, bias, v in zip(sources[:half], sources[half:], value.chunk(half), strict=True):
                    state[bias] = torch.rand(len(v))
                    state[mean] = v + state[bias]
            break
    return state


def content(state: Any) -> dict[str, Any]:
    cmc = np.linspace(0.475, 0.9, 20).astype(np.float32)
    return {"net": state, "cmc": cmc, "mAP": np.float64(0.4765), "mINP": np.float64(0.3), "epoch": 60}


@cache
def released(release: str, identities: int, *settings: str) -> dict[str, Tensor]:
    return published(release, narrow(release, identities, *settings))


def saved(path: Path, release: str = "agw", identities: int = 395, *settings: str) -> dict[str, Tensor]:
    state = released(release, identities, *settings)
    torch.save(content(state), path)
    return state


def embeddings(network: ReIdNetwork) -> list[Tensor]:
    images = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        return [network.embed(images, modality) for modality in Modality]


def compare(made: ImportedRun, network: ReIdNetwork, session: Session) -> None:
    ours = embeddings(load_trained(made.run, session, fold=False).network)
    for mine, theirs in zip(ours, embeddings(network), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("release", "dataset", "settings"),
    [
        ("agw", "sysu", ()),
        ("caj", "regdb", ()),
        ("deen", "llcm", ()),
        ("deen", "regdb", ("method.options.last=layer3",)),
        ("hctri", "sysu", ()),
        ("sepg", "sysu", ()),
    ],
)
def test_every_release_embeds_as_before(
    tmp_path: Path, session: Session, release: str, dataset: str, settings: tuple[str, ...]
) -> None:
    count = {"sysu": 395, "regdb": 206, "llcm": 713}[dataset]
    network = narrow(release, count, *settings)
    state = published(release, network)
    if release in ("caj", "sepg"):  # a data-parallel wrapper's keys
        state = {f"module.{key}": value for key, value in state.items()}
    path = tmp_path / f"{dataset}_trial_3_best.t"
    torch.save(content(state), path)
    made = import_run(path, session, release, settings=NARROW)
    assert (made.identities, made.run.environment()["num_identities"]) == (count, count)
    assert made.metrics == pytest.approx({"rank1": 0.475, "mAP": 0.4765, "mINP": 0.3})
    recipe = load_recipe(str(made.run.recipe_file))
    assert (recipe.data.dataset, recipe.data.trial) == (dataset, 3 if dataset == "regdb" else 1)
    compare(made, network, session)


def old_names(path: Path) -> None:
    """NumPy's names of before version 2."""
    data = path.read_bytes()
    assert b"numpy._core.multiarray" in data
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))


@pytest.mark.parametrize("form", ["zip", "legacy", "numpy 1", "bare", "safetensors", "no counters"])
def test_every_form_of_file(tmp_path: Path, session: Session, form: str) -> None:
    network = narrow("agw", 395)
    state, path = published("agw", network), tmp_path / "best.t"
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    elif form == "bare":
        torch.save(state, path)
    else:
        kept = {k: v for k, v in state.items() if form != "no counters" or "num_batches" not in k}
        torch.save(content(kept), path, _use_new_zipfile_serialization=form != "legacy" and form != "numpy 1")
    if form == "numpy 1":
        old_names(path)
    made = import_run(path, session, "agw", settings=NARROW)
    compare(made, network, session)
    about = made.run.environment()["imported"]
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (about["from"], about["file"]) == ("agw", "best.t")
    assert about["epoch"] == (0 if form in ("bare", "safetensors") else 60)


def test_all_differing_keys_are_listed(tmp_path: Path, session: Session) -> None:
    state = saved(tmp_path / "best.t")
    gone = [key for key in state if key.startswith("NL_3.")] + ["bottleneck.weight"]
    added = [f"extra.{i}.weight" for i in range(30)]
    changed = {key: value for key, value in state.items() if key not in gone}
    changed |= {key: torch.zeros(1) for key in added} | {
        "base_resnet.base.layer1.0.conv1.weight": torch.ones(3, 3)
    }
    changed |= {
        "visible_module.visible.layer1.0.conv1.weight": torch.ones(1),
        "base_resnet.base.fc.bias": torch.ones(1),
    }
    torch.save(content(changed), tmp_path / "other.t")
    with pytest.raises(DataError) as why:
        import_run(tmp_path / "other.t", session, "agw", settings=NARROW)
    text = why.value.message
    counted = [key for key in gone if not key.endswith("num_batches_tracked")]
    assert all(f"\n    {key}" in text for key in (*counted, *added))
    assert f"{len(counted)} missing:" in text
    # Every further line is indented: other breaks are those of foreign names, and are shown escaped.
    assert printable_lines(text) == text.split("\n")
    assert "30 unexpected:" in text
    assert "base_resnet.base.layer1.0.conv1.weight: (3, 3) instead of (8, 8, 1, 1)" in text
    assert "visible_module.visible.layer1" not in text
    assert not list((tmp_path / "runs").glob("*"))


def test_the_part_of_another_shape_is_named(tmp_path: Path, session: Session) -> None:
    state = saved(tmp_path / "best.t", "hctri")
    wrong = {"fc_list.3.weight": state["fc_list.3.weight"][:9], "local_conv_list.2.0.bias": torch.zeros(7)}
    torch.save(content(state | wrong), tmp_path / "best.t")
    with pytest.raises(DataError) as why:
        import_run(tmp_path / "best.t", session, "hctri", settings=NARROW)
    lines = why.value.message.split("\n")[2:]
    assert {line.split(":")[0].strip() for line in lines} == wrong.keys()


@pytest.mark.parametrize("epoch", [10**9, -3, float("nan"), "60"])
def test_numbers_that_are_none_of_a_training_are_ignored(
    tmp_path: Path, session: Session, epoch: object
) -> None:
    state = saved(tmp_path / "best.t")
    odd = {"epoch": epoch, "mAP": 47.65, "mINP": -1.0, "cmc": [0.5]}
    torch.save({"net": state, **odd}, tmp_path / "best.t")
    made = import_run(tmp_path / "best.t", session, "agw", settings=NARROW)
    assert made.run.environment()["imported"]["epoch"] == 0
    assert made.metrics == {"rank1": 0.5}


def test_another_release_is_recognised(tmp_path: Path, session: Session) -> None:
    saved(tmp_path / "best.t", "deen")
    with pytest.raises(DataError, match="unexpected") as why:
        import_run(tmp_path / "best.t", session, "agw", settings=NARROW)
    assert "--from deen" in why.value.hint
    with pytest.raises(DataError, match="no 'fc_list") as why:
        import_run(tmp_path / "best.t", session, "hctri", settings=NARROW)
    assert "--from deen" in why.value.hint


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: state | {"classifier.weight": torch.full((395, 256), torch.nan)}, "NaN"),
        (lambda state: state | {"bottleneck.running_var": -torch.ones(256)}, "impossible"),
        (lambda state: state | {"classifier.weight": "text"}, "no state dict"),
        (lambda state: {}, "no state dict"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, session: Session, change: Any, text: str) -> None:
    state = saved(tmp_path / "best.t")
    torch.save(content(change(state)), tmp_path / "best.t")
    with pytest.raises(VireidError, match=text):
        import_run(tmp_path / "best.t", session, "agw", settings=NARROW)


def test_the_official_training_identities_of_sysu_are_those_of_the_published_counts() -> None:
    table = np.loadtxt(sysu.COUNTS, dtype=np.int64, delimiter=",")
    trained = table[np.isin(table[:, 0], sysu.training_pids()), 1:].sum(0)
    expected = np.array(sysu.EXPECTED_IMAGES["train"]) + sysu.EXPECTED_IMAGES["val"]
    np.testing.assert_array_equal(trained, expected)
    tested = table[np.isin(table[:, 0], sysu.TEST_PIDS), 1:].sum(0)
    np.testing.assert_array_equal(tested, sysu.EXPECTED_IMAGES["test"])
    assert len(official_tokens("sysu")) == 395


def test_evaluation_names_the_origin_and_refuses_training_identities(tmp_path: Path, sysu_tree: Path) -> None:
    """The small tree's test people, 11 to 14, have numbers of SYSU-MM01's official training identities."""
    session = Session.choose("cpu", "fp32", data_dir=sysu_tree, runs_dir=tmp_path / "runs")
    saved(tmp_path / "best.t")
    made = import_run(tmp_path / "best.t", session, "agw", settings=NARROW)
    with pytest.raises(UsageError, match="4 of 4 test identities were trained on"):
        evaluate_run(made.run, session, EvaluateOptions())
    result = evaluate_run(made.run, session, EvaluateOptions(allow_overlap=True))
    about = result[0].content["fingerprint"]
    digest = hashlib.sha256((tmp_path / "best.t").read_bytes()).hexdigest()
    assert about["imported"] == f"agw: best.t, sha256 {digest}"
    assert about["checkpoint"] == "imported (epoch 60)"
    assert "official training split (395 identities), assumed" in about["training_identities"]
    assert about["overlap"] == "4 test identities were trained on"
    with pytest.raises(UsageError, match="was imported"):
        resume(made.run, session)


def test_unknown_training_identities_cause_a_warning(
    tmp_path: Path, session: Session, listener: Listener
) -> None:
    saved(tmp_path / "sysu.t", "agw", 296)
    made = import_run(tmp_path / "sysu.t", session, "agw", dataset="sysu", settings=NARROW)
    assert "the classifier has 296" in made.identity_note
    assert "296" in listener.warnings[-1]
    saved(tmp_path / "regdb_trial_2_best.t", "agw", 206)
    made = import_run(tmp_path / "regdb_trial_2_best.t", session, "agw", settings=NARROW)
    assert made.identity_note == "unknown: 206 identities"
    assert "Prepare regdb first" in listener.warnings[-1]


def test_the_dataset_must_be_known_and_the_trial_is_the_first_unless_named(
    tmp_path: Path, session: Session, listener: Listener
) -> None:
    saved(tmp_path / "best.t", "agw", 100)
    with pytest.raises(UsageError, match="100 identities") as why:
        import_run(tmp_path / "best.t", session, "agw", settings=NARROW)
    assert "--dataset" in why.value.hint
    saved(tmp_path / "best.t", "agw", 206)
    made = import_run(tmp_path / "best.t", session, "agw", settings=NARROW)
    assert load_recipe(str(made.run.recipe_file)).data.trial == 1
    assert any("assuming trial 1" in text for text in listener.warnings)
    with pytest.raises(UsageError, match="trials 1 to 10"):
        import_run(tmp_path / "best.t", session, "agw", trial=11, settings=NARROW)
    with pytest.raises(UsageError, match="no trials"):
        import_run(tmp_path / "best.t", session, "agw", dataset="sysu", trial=2, settings=NARROW)
