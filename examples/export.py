"""Export the newest run to ONNX and run it in ONNX Runtime (pip install 'vireid[export]')."""

# %%
import numpy as np
import onnxruntime

from vireid_cli import Engine

engine = Engine()
exported = engine.export(layout="split")
files = sorted(exported.run.exports.glob("*.onnx"))
print(*files, sep="\n")

# %% Input: float32 pixels in [0, 1], RGB, (N, 3, H, W). Output: unit-length embeddings.
session = onnxruntime.InferenceSession(files[0])
(inputs,) = session.get_inputs()
height, width = inputs.shape[2:]
images = np.random.default_rng(0).random((2, 3, height, width), dtype=np.float32)
(embeddings,) = session.run(None, {inputs.name: images})
print(embeddings.shape, np.linalg.norm(embeddings, axis=1))
