"""A prepared store as a PyTorch dataset, for a training loop of your own."""

# %%
import torch
from torch import nn
from torch.utils.data import DataLoader

from vireid_cli import Engine

engine = Engine()
dataset = engine.dataset("sysu", split="trainval", size=(96, 48))
print(f"{len(dataset)} images of {len(dataset.pids)} identities")

# %%
network = nn.Sequential(
    nn.Conv2d(3, 16, 5, stride=4),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(16, len(dataset.pids)),
)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
for step, batch in enumerate(DataLoader(dataset, batch_size=16, shuffle=True)):
    loss = nn.functional.cross_entropy(network(batch.image), batch.label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.3f}")
    if step == 4:
        break
