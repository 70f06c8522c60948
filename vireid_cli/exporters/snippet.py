"""Lines of Python that run an exported file without vireid, printed after an export."""

from __future__ import annotations

from pathlib import Path

from vireid_cli.exporters.program import Layout
from vireid_cli.types import Resize, Size

FILTERS: dict[Resize, str] = {"lanczos": "LANCZOS", "bicubic": "BICUBIC"}
"""Pillow's name of each resize rule."""

END = "print(embeddings.shape)  # rows of unit length: their inner products are cosine similarities"


def onnx_snippet(path: Path, layout: Layout, size: Size, rule: Resize, any_size: bool) -> str:
    """At most ten lines that embed ``person.jpg`` in onnxruntime.

    Args:
        path: Path of the file.
        layout: Layout of the export.
        size: (height, width) of the network's input.
        rule: Resize rule of the network's images.
        any_size: Whether the file takes images of any size.
    """
    feed = {
        "single": '{"images": images, "modality": np.array([0])}',
        "split": '{"images": images}',
        "joint": '{"visible": images, "infrared": images}',
    }[layout]
    codes = "  # 0 visible, 1 infrared" if layout == "single" else ""
    return "\n".join(
        [
            "import numpy as np",
            "import onnxruntime",
            "from PIL import Image",
            "",
            *_images(size, rule, any_size),
            f'session = onnxruntime.InferenceSession({str(path)!r}, providers=["CPUExecutionProvider"])',
            f"embeddings = session.run(None, {feed})[0]{codes}",
            END,
        ]
    )


def openvino_snippet(path: Path, size: Size, rule: Resize) -> str:
    """At most ten lines that embed ``person.jpg`` in OpenVINO; arguments as ``onnx_snippet``."""
    return "\n".join(
        [
            "import numpy as np",
            "import openvino",
            "from PIL import Image",
            "",
            *_images(size, rule, False),
            f'model = openvino.Core().compile_model({str(path)!r}, "CPU")',
            'embeddings = model({"images": images, "modality": np.array([0])})[0]  # 0 visible, 1 infrared',
            END,
        ]
    )


def torch_snippet(path: Path, layout: Layout, size: Size, rule: Resize, any_size: bool, aoti: bool) -> str:
    """At most ten lines that embed ``person.jpg`` in PyTorch; ``aoti``: the file is a compiled package."""
    opened = f"torch._inductor.aoti_load_package({str(path)!r})"
    if not aoti:
        opened = f"torch.export.load({str(path)!r}).module()"
    inputs = "images, torch.tensor([0])" if layout == "single" else "images"
    codes = "  # 0 visible, 1 infrared" if layout == "single" else ""
    *first, pixels = _images(size, rule, any_size)
    return "\n".join(
        [
            "import numpy as np",
            "import torch",
            "from PIL import Image",
            "",
            *first,
            pixels.replace("images = ", "images = torch.tensor(") + ")",
            f"model = {opened}",
            f"embeddings = model({inputs})[0]{codes}",
            END,
        ]
    )


def _images(size: Size, rule: Resize, any_size: bool) -> list[str]:
    """Lines that load one image as the input of a file."""
    opened = 'image = Image.open("person.jpg").convert("RGB")'
    if any_size:
        return [opened, "images = np.asarray(image)[None]"]
    resized = f"{opened}.resize(({size[1]}, {size[0]}), Image.Resampling.{FILTERS[rule]})"
    return [resized, "images = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255"]
