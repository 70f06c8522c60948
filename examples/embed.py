"""Load a trained network, embed image files and arrays, and rank a gallery."""

# %%
import numpy as np

from vireid_cli import Engine, Modality

engine = Engine()
model = engine.load()  # the newest run; engine.find("NAME").load() for another one
print(model.method, model.size, model.fingerprint["weights_sha256"][:12])

# %% Test images of both modalities, as arrays; paths of image files work the same way.
gallery = engine.dataset("sysu", split="test", size=model.size, modality=Modality.VISIBLE)
queries = engine.dataset("sysu", split="test", size=model.size, modality=Modality.INFRARED)


def pixels(dataset, count):
    """The first images of a dataset as (H, W, 3) uint8 arrays."""
    for sample in (dataset[i] for i in range(min(count, len(dataset)))):
        yield (255 * sample.image).byte().permute(1, 2, 0).numpy()


g = model.embed(pixels(gallery, 40), Modality.VISIBLE)
q = model.embed(pixels(queries, 4), Modality.INFRARED)

# %% Rows have unit length: the product is the cosine similarity.
for i, order in enumerate(np.argsort(-(q @ g.T), axis=1)[:, :5]):
    print(f"query of person {queries[i].pid}: people {[gallery[int(j)].pid for j in order]}")
