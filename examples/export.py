"""Export the newest run to ONNX and run it in ONNX Runtime (pip install 'vireid[export]')."""

# %%
import numpy as np
import onnxruntime

from vireid_cli import Engine

engine = Engine()
exported = engine.export()
print(*exported.files, sep="\n")

# %% Inputs: float32 pixels in [0, 1], RGB, (N, 3, H, W), and modalities. Output: unit-length embeddings.
session = onnxruntime.InferenceSession(exported.files[0])
height, width = session.get_inputs()[0].shape[2:]
images = np.random.default_rng(0).random((2, 3, height, width), dtype=np.float32)
modality = np.array([0, 1])  # 0 visible, 1 infrared
(embeddings,) = session.run(None, {"images": images, "modality": modality})
print(embeddings.shape, np.linalg.norm(embeddings, axis=1))
