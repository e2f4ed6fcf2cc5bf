"""Makes the goldens of a trained loop of GRPO with PyTorch, transformers and peft (tests/parity/grpo_reference.py).

Run from anywhere, after make.py: `python crates/policy/goldens/loop.py`; what it needs stands there. Tests never run it.

loop.safetensors  for every loss type the adapter's factors (flat, by sorted key) after three steps of two accumulated
                  groups and two iterations each: log-probabilities at temperature 0.8, ratios to those of the first
                  iteration, k3 to the model without adapter, AdamW with clipped gradient; and the losses of the six
                  updates. The groups are those of rollouts.json; at step s completion i has the reward that stands
                  at place (i + s) modulo 3.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from make import ADAMW, CLIP, GROUPS, HERE, LENGTH, ROOT, flat  # noqa: F401
from grpo_reference import LOSS_TYPES, Policy, advantages, grpo_loss

STEPS, ITERATIONS, TEMPERATURE, BETA = 3, 2, 0.8, 0.1
# Large steps, so that ratios leave the clipping range; an epsilon that keeps rounding from becoming steps.
OPTIMIZER = {**ADAMW, "lr": 0.02, "eps": 1e-3}


def asked(group):
    return HERE / group["image"], group["question"], group["completions"], TEMPERATURE


def train(model, loss_type):
    policy = Policy(model, HERE / "adapter")
    factors = list(policy.factors().values())
    optimizer = torch.optim.AdamW(factors, **OPTIMIZER)
    with torch.no_grad(), policy.model.disable_adapter():
        ref = [policy.logprobs(*asked(group)) for group in GROUPS]
    tokens = sum(len(row) for rows in ref for row in rows)
    losses, clipped = [], 0
    for step in range(STEPS):
        old = None
        for _ in range(ITERATIONS):
            optimizer.zero_grad()
            total, present = 0.0, []
            for i, group in enumerate(GROUPS):
                new = policy.logprobs(*asked(group))
                present.append([row.detach() for row in new])
                before = old[i] if old else present[i]
                rewards = [group["rewards"][(k + step) % 3] for k in range(3)]
                settings = {"beta": BETA, "loss_type": loss_type, "max_completion_length": LENGTH,
                            "tokens_in_batch": tokens}
                loss = grpo_loss(new, before, ref[i], advantages(rewards, loss_type).tolist(), settings)
                clipped += sum((torch.exp(n - o) - 1).abs().gt(0.2).sum().item() for n, o in zip(new, before))
                # TRL divides by the accumulated groups, except where it has divided by all their tokens already.
                part = loss if loss_type == "dapo" else loss / len(GROUPS)
                part.backward()
                total += part.item()
            old = old or present
            norm = torch.nn.utils.clip_grad_norm_(factors, CLIP)
            optimizer.step()
            losses.append(total)
    print(loss_type, losses, f"{clipped} ratios beyond 20 %, last norm {norm.item():.3f}")
    return flat({k: p.detach() for k, p in policy.factors().items()}), torch.tensor(losses)


def main():
    assert json.loads((HERE / "rollouts.json").read_text()) == GROUPS
    goldens = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny"
        shutil.copytree(ROOT / "crates/smolvlm/tiny", model)
        shutil.copyfile(ROOT / "crates/smolvlm/goldens/model.safetensors", model / "model.safetensors")
        for loss_type in LOSS_TYPES:
            factors, losses = train(model, loss_type)
            goldens[f"factors.{loss_type}"] = factors
            goldens[f"losses.{loss_type}"] = losses.float()
    save_file({k: v.contiguous() for k, v in goldens.items()}, HERE / "loop.safetensors")
    print(sum(v.numel() for v in goldens.values()) * 4, "bytes")


if __name__ == "__main__":
    main()
