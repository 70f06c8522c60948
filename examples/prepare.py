"""Prepare a dataset: images of every size become one memory-mapped file."""

# %%
from vireid_cli import Engine, Modality

engine = Engine()  # picks the device; data in ./data, runs in ./runs
prepared = engine.prepare("sysu", size=(96, 48))
print(f"{prepared.images} images in {prepared.store.folder}")

# %% The records: one row per image.
records = prepared.store.records
for modality in Modality:
    chosen = records.modalities == modality.code
    people = len(set(records.pids[chosen].tolist()))
    print(
        f"{modality}: {chosen.sum()} images of {people} people, cameras {sorted(set(records.camids[chosen]))}"
    )
