"""Draw figures of the newest run and of a dataset."""

# %%
from vireid_cli import Engine

engine = Engine()
print(engine.visualize("curves"))

# %% Figures of results need an evaluation.
engine.evaluate(mode="all", trials=3)
print(engine.visualize("cmc", ranks=10))
print(engine.visualize("ranking", queries=3, order="worst"))

# %% Figures of a dataset need no run.
print(engine.visualize("phase-swap", "sysu", size=(96, 48)))
