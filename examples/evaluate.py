"""Evaluate the newest run under two protocols and print its metrics."""

# %%
from vireid_cli import Engine

engine = Engine()
result = engine.evaluate(mode="all", trials=3)
print(f"Rank-1 {result.rank1:.1%}, mAP {result.mAP:.1%}, mINP {result.mINP:.1%}")

# %% Several protocols are a list of results.
results = engine.evaluate(mode="both", trials=3)
print(results.to_markdown())
for evaluation in results:
    print(evaluation.protocol, "valid queries:", evaluation.content["valid_queries"])
