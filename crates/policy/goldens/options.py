"""Makes options.safetensors: losses and gradients of TRL's loss types and options with PyTorch's autograd.

Run from anywhere: `python crates/policy/goldens/options.py`; needs torch and safetensors (made with torch 2.15). Tests
never run it. Formulas as in GRPOTrainer._compute_loss of TRL 1.10, written down anew; numbers as in
crates/policy/src/grpo/loss_tests.rs.

loss.TYPE.VARIANT, gradient.TYPE.VARIANT [3, 4]; keep.SHARE [3, 4]: the tokens of highest entropy.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
T = torch.float64
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=T)
POLICY = torch.tensor([[-0.5, -1.2, -0.1, -2.0], [-0.9, -0.3, 0, 0], [-1.5, -0.2, -0.6, 0]], dtype=T)
OLD = torch.tensor([[-0.9, -1.1, -0.6, -1.5], [-0.4, -0.35, 0, 0], [-1.5, -0.7, -0.1, 0]], dtype=T)
REFERENCE = torch.tensor([[-0.7, -1.0, -0.3, -1.0], [-1.9, -0.2, 0, 0], [-1.4, -0.4, -0.6, 0]], dtype=T)
ENTROPIES = torch.tensor([[0.7, 0.1, 1.9, 0.4], [1.2, 0.05, 9, 9], [0.3, 2.2, 0.9, 9]], dtype=T)
ADVANTAGES = torch.tensor([1.5, -0.7, -0.8], dtype=T)[:, None]
SAMPLED = torch.tensor([-3.9946395, -1.4431472, -3.9094379], dtype=T)  # of each completion, as its sampler computed it
LENGTH, BETA, LOW, CAP = 7, 0.3, 0.2, 3.0


def highest(share):
    bound = torch.quantile(ENTROPIES[MASK.bool()].float(), 1 - share)
    return ((ENTROPIES.float() >= bound) & MASK.bool()).to(T)


def loss(policy, kind, on_policy=False, high=None, sequence=False, cut=(), keep=None, steep=(1.0, 1.05), correct=None):
    mask = MASK.clone()
    for row in cut:
        mask[row] = 0
    old = policy.detach() if on_policy else OLD
    change = policy - old
    if sequence:
        change = ((change * mask).sum(1) / mask.sum(1).clamp(min=1))[:, None]
    ratio = torch.exp(change)
    if kind == "cispo":
        term = -torch.clamp(ratio, max=5.0 if high is None else high).detach() * ADVANTAGES * policy
    elif kind == "sapo":
        t = torch.where(ADVANTAGES > 0, *(torch.tensor(s, dtype=T) for s in steep))
        term = -(4 / t * torch.sigmoid(t * (ratio - 1))) * ADVANTAGES
    else:
        clipped = torch.clamp(ratio, 1 - LOW, 1 + (LOW if high is None else high))
        term = -torch.minimum(ratio * ADVANTAGES, clipped * ADVANTAGES)
    if keep is not None:
        term = term * highest(keep)
    if correct:
        weight = torch.exp((old * mask).sum(1) - SAMPLED).detach()[:, None]
        term = term * (torch.clamp(weight, max=CAP) if correct == "truncate" else torch.where(weight > CAP, 0, weight))
    d = REFERENCE - policy
    term = (term + BETA * (torch.exp(d) - d - 1)) * mask
    if kind in ("grpo", "sapo"):
        return (term.sum(1) / mask.sum(1).clamp(min=1)).mean()
    if kind == "bnpo":
        return term.sum() / mask.sum().clamp(min=1)
    if kind == "dr_grpo":
        return term.sum() / (3 * LENGTH)
    return term.sum()  # dapo, cispo: divided by the tokens of the batch later


VARIANTS = {
    "plain": {},
    "on_policy": {"on_policy": True},
    "high": {"high": 0.6},
    "sequence": {"sequence": True},
    "cut": {"cut": (1,)},
    "top": {"keep": 0.5},
    "steep": {"steep": (2.0, 3.0)},
    "truncate": {"correct": "truncate"},
    "weigh": {"correct": "mask"},
    "all": {"correct": "truncate", "high": 0.4, "sequence": True, "cut": (2,), "keep": 0.7, "steep": (0.5, 2.5)},
}


def main():
    goldens = {f"keep.{share}": highest(share).float() for share in (0.2, 0.5, 0.7, 1.0)}
    for kind in ("dr_grpo", "grpo", "bnpo", "dapo", "cispo", "sapo"):
        for name, options in VARIANTS.items():
            policy = POLICY.clone().requires_grad_()
            found = loss(policy, kind, **options)
            found.backward()
            goldens[f"loss.{kind}.{name}"] = found.detach().float().reshape(1)
            goldens[f"gradient.{kind}.{name}"] = policy.grad.float()
            print(kind, name, found.item())
    save_file(goldens, HERE / "options.safetensors")


if __name__ == "__main__":
    main()
