"""Train a recipe, with a few keys changed, and read the log."""

# %%
from vireid_cli import Engine

engine = Engine()
run = engine.train(
    "quickstart.yaml",
    ["train.steps_per_epoch=5", "data.sampler.identities=8"],  # as --set on the command line
    epochs=2,
    seed=0,
)
print(run.folder)

# %% One row per logged step and per epoch.
for row in run.log_rows():
    if row["kind"] == "epoch":
        print(f"epoch {row['epoch'] + 1}: loss {row['loss']:.3f}  {row['losses']}")
