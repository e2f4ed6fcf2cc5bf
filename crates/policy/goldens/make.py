"""Makes the goldens of a GRPO step with PyTorch, transformers and peft (tests/parity/grpo_reference.py).

Run from anywhere: `python crates/policy/goldens/make.py`; needs torch, transformers, peft, safetensors, pillow
(made with torch 2.15, transformers 5.23, peft 0.21). Tests never run it. The model is crates/smolvlm's tiny one.

adapter/          a PEFT adapter with random factors, written by peft
one.png two.png   pictures
rollouts.json     two groups of three completions with rewards, one of them no box
grpo.safetensors  log-probabilities and k3 [group, completion, token]; for every loss type and beta the loss and the
                  gradient of all factors (flat, by sorted key); with other old log-probabilities, so that the ratio is
                  clipped; and the factors after one step of AdamW with clipped gradient
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import Idefics3ForConditionalGeneration

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests/parity"))
from grpo_reference import LOSS_TYPES, Policy, step  # noqa: E402

LENGTH = 32  # max_completion_length
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "fc1", "fc2", "proj"]
ADAMW = {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
CLIP = 0.1
GROUPS = [
    {
        "image": "one.png", "question": "What is the TOTAL?",
        "completions": ["[10, 20, 63, 57].", "[0, 9, 100, 10].", "Not needed."], "rewards": [1.25, -2.0, 0.5],
    },
    {
        "image": "two.png", "question": "Who signed it?",
        "completions": ["[5, 5, 6, 6].", "[1, 2, 3, 4]. Or so.", "[30, 40, 99, 100]."], "rewards": [0.0, 1.0, 1.0],
    },
]


def make_adapter(model_dir):
    torch.manual_seed(5)
    model = Idefics3ForConditionalGeneration.from_pretrained(model_dir, dtype=torch.float32)
    config = LoraConfig(r=2, lora_alpha=3, lora_dropout=0.05, target_modules=TARGETS)
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.05)
    shutil.rmtree(HERE / "adapter", ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = "tiny"
    model.save_pretrained(HERE / "adapter")
    (HERE / "adapter/README.md").unlink(missing_ok=True)


def make_pictures():
    for seed, (name, width, height) in enumerate([("one", 61, 37), ("two", 24, 50)]):
        rng = np.random.default_rng(seed)
        small = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height), Image.BICUBIC).save(HERE / f"{name}.png")


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors.values()]).float()


def padded(rows):
    out = torch.zeros(len(GROUPS), 3, max(len(r) for r in rows), dtype=torch.float32)
    for i, row in enumerate(rows):
        out[i // 3, i % 3, : len(row)] = row
    return out


def main():
    make_pictures()
    (HERE / "rollouts.json").write_text(json.dumps(GROUPS, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "tiny"
        shutil.copytree(ROOT / "crates/smolvlm/tiny", model)
        shutil.copyfile(ROOT / "crates/smolvlm/goldens/model.safetensors", model / "model.safetensors")
        make_adapter(model)
        policy = Policy(model, HERE / "adapter")
        goldens = {}
        for loss_type in LOSS_TYPES:
            for beta in (0.0, 0.01):
                settings = {"beta": beta, "loss_type": loss_type, "max_completion_length": LENGTH}
                found = step(policy, GROUPS, settings, HERE)
                name = f"{loss_type}.{beta:g}"
                goldens[f"loss.{name}"] = found["loss"].float().reshape(1)
                goldens[f"gradient.{name}"] = flat(found["gradients"])
                goldens[f"advantages.{loss_type}"] = torch.tensor(found["advantages"]).reshape(len(GROUPS), 3)
                print(name, found["loss"].item(), found["grad_norm"].item())
        goldens["logprobs"] = padded(found["logprobs"])
        goldens["kl"] = padded(found["kl"])
        goldens["lengths"] = torch.tensor([len(r) for r in found["logprobs"]], dtype=torch.int64)

        # As if the rollouts came from other weights: some ratios are clipped, some are not.
        torch.manual_seed(6)
        shifts = [torch.randn(len(r), dtype=torch.float64) * 0.3 for r in found["logprobs"]]
        settings = {"beta": 0.01, "loss_type": "dr_grpo", "max_completion_length": LENGTH, "epsilon": 0.2}
        other = step(policy, GROUPS, settings, HERE, shifts)
        goldens["old.logprobs"] = padded([r + s for r, s in zip(other["logprobs"], shifts)])
        goldens["old.loss"] = other["loss"].float().reshape(1)
        goldens["old.gradient"] = flat(other["gradients"])

        # One update from the clean state, the gradient as the last step left it.
        step(policy, GROUPS, settings, HERE)
        factors = list(policy.factors().values())
        optimizer = torch.optim.AdamW(factors, **ADAMW)
        norm = torch.nn.utils.clip_grad_norm_(factors, CLIP)
        optimizer.step()
        goldens["updated"] = flat({k: p.detach() for k, p in policy.factors().items()})
        print("clipped from", norm.item(), "largest k3", goldens["kl"].max().item())
    save_file({k: v.contiguous() for k, v in goldens.items()}, HERE / "grpo.safetensors")
    print(sum(v.numel() for v in goldens.values()) * 4, "bytes")


if __name__ == "__main__":
    main()
