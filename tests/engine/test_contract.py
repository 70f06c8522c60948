"""Each check of a method's contract notices a method that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vireid_cli import plugins
from vireid_cli.engine import contract

EXAMPLE = Path(__file__).parents[2] / "examples" / "methods" / "cosine_pairs.py"

BREAKS = {
    "Options and build are valid": ("        pair_weight: Factor", "        other: Factor"),
    "losses are finite scalars that reach every parameter": (
        "        return terms",
        '        terms.pop("identity")\n        return terms',
    ),
    "parameter_groups has every parameter once": ("[*trainable(self.neck), *", "[*"),
    "embed takes one modality and returns rows of unit length": (
        "return F.normalize(self.neck(pooled).float(), dim=1)",
        "return F.normalize(self.neck(pooled - pooled.mean(0)).float(), dim=1)",
    ),
    "losses ignore the order of identities": (
        "(1.0 - cosines).mean()",
        "(1.0 - cosines[:4]).mean()",
    ),
    "losses ignore erased pixels": (", masks, batch.erase)", ")"),
    "a saved and loaded network computes the same": (
        "        self.options = options\n",
        "        self.options = options\n        self.gain = float(id(self) % 1000)\n",
    ),
    "losses are stable in bf16": ("@in_full_precision\n", ""),
    "the network can be exported": (
        "global_average(self.trunk(self.normalise(images), modality))\n",
        "global_average(self.trunk(self.normalise(images), modality))\n"
        "        pooled = pooled * torch.fft.rfft2(images).abs().mean((1, 2, 3)).unsqueeze(1)\n",
    ),
}
"""A change of the example by the check that notices it."""


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "LOADED", {})


@pytest.mark.parametrize("promise", BREAKS)
def test_a_broken_method_is_noticed(promise: str, tmp_path: Path) -> None:
    before, after = BREAKS[promise]
    text = EXAMPLE.read_text()
    assert before in text
    text = text.replace(before, after).replace("import torch.nn", "import torch\nimport torch.nn", 1)
    if "self.gain" in after:
        text = text.replace("self.normalise(images), m", "self.normalise(images) * self.gain, m")
    (tmp_path / "broken.py").write_text(text)
    plugins.add(tmp_path)
    with pytest.raises(AssertionError, match=r"\w \w"):
        contract.CHECKS[promise](contract.case_of("broken"))


def test_an_exception_is_a_failure_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = dict(list(contract.CHECKS.items())[:4])
    monkeypatch.setattr(contract, "CHECKS", checks)
    text = EXAMPLE.read_text().replace("        labels = batch.labels.repeat(2)\n", "        1 / 0\n")
    (tmp_path / "broken.py").write_text(text)
    plugins.add(tmp_path)
    line = text.splitlines().index("        1 / 0") + 1
    problems = {outcome.promise: outcome.problem for outcome in contract.check("broken")}
    assert set(problems) == set(checks), "a failure does not stop the other checks"
    failed = problems["losses are finite scalars that reach every parameter"]
    assert failed == f"broken.py:{line}: ZeroDivisionError: division by zero"
    assert problems["embed takes one modality and returns rows of unit length"] == ""
