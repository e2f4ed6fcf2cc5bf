"""Compares a GRPO step of the workspace with PyTorch's, and an adapter written here with peft's reading of it.

python tests/parity/grpo_step.py CROPVLM_BINARY [--model DIR --adapter PEFT_DIR --rollouts FILE.json]

Without a model: the tiny one of the goldens. Prints the largest differences; ends with 1 where a bound is not held
(log-probabilities, k3, advantages, loss 1e-4; gradient norm 1e-3 relative; log-probabilities with the adapter that
`cropvlm sft` wrote 1e-4).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from grpo_reference import LOSS_TYPES, Policy, step

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "crates/policy/goldens"


def tiny(folder):
    """The tiny model's folder."""
    shutil.copytree(ROOT / "crates/smolvlm/tiny", folder)
    shutil.copyfile(ROOT / "crates/smolvlm/goldens/model.safetensors", folder / "model.safetensors")
    return folder


parser = argparse.ArgumentParser()
parser.add_argument("cropvlm")
parser.add_argument("--model", type=Path)
parser.add_argument("--adapter", type=Path, default=GOLDENS / "adapter")
parser.add_argument("--rollouts", type=Path, default=GOLDENS / "rollouts.json")
parser.add_argument("--length", type=int, default=32, help="max_completion_length")
fine = True


def report(what, error, bound):
    global fine
    fine &= error <= bound
    print(f"{what}: {error:.3g} (bound {bound:g}){'' if error <= bound else ' NOT HELD'}")


def distance(ours, theirs):
    """Largest difference of nested lists and a list of vectors in the same order, relative above 1."""
    flat = [torch.tensor(row, dtype=torch.float64) for group in ours for row in group]
    assert [len(a) for a in flat] == [len(b) for b in theirs], "another number of tokens"
    return max(((a - b).abs() / b.abs().clamp(min=1)).max().item() for a, b in zip(flat, theirs))


def compare_steps(args, model, work):
    policy = Policy(model, args.adapter)
    groups = json.loads(args.rollouts.read_text())
    for loss_type in LOSS_TYPES:
        for beta in (0.0, 0.01):
            settings = {
                "beta": beta, "loss_type": loss_type, "max_completion_length": args.length,
                "num_generations": len(groups[0]["completions"]),
            }
            config = work / "grpo.toml"
            config.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
            command = [args.cropvlm, "debug", "grpo-step", "--model", str(model), "--adapter", str(args.adapter),
                       "--rollouts", str(args.rollouts), "--config", str(config), "--json"]
            ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            theirs = step(policy, groups, settings, args.rollouts.parent)
            print(f"== {loss_type}, beta {beta}: loss {ours['loss']:.6f}, gradient norm {ours['grad_norm']:.6f}")
            report("log-probabilities", distance(ours["logprobs"], theirs["logprobs"]), 1e-4)
            report("k3", distance(ours["kl"], theirs["kl"]), 1e-4)
            flat = [a for group in ours["advantages"] for a in group]
            report("advantages", max(abs(a - b) for a, b in zip(flat, theirs["advantages"])), 1e-4)
            report("loss", abs(ours["loss"] - theirs["loss"].item()), 1e-4)
            norm = theirs["grad_norm"].item()
            report("gradient norm, relative", abs(ours["grad_norm"] - norm) / max(norm, 1e-12), 1e-3)


def compare_written_adapter(args, model, work):
    """`cropvlm sft` trains an adapter for two steps; peft loads its folder."""
    Image.open(GOLDENS / "one.png").save(work / "page.png")
    sample = {"id": "1", "image": "page.png", "question": "What is the total?", "answers": ["1"], "kind": "",
              "boxes": [[10, 8, 40, 20]], "width": 61, "height": 37}
    (work / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    (work / "sft.toml").write_text(
        f"steps = 2\npages = 1\nquestions = 1\nlines = 0\ncheckpoint_every = 2\ninit = {json.dumps(str(model))}\n"
        "[optimizer]\nlr = 0.05\naverage = 0.0\n[adapter]\nr = 3\nlora_alpha = 6\n"
        f"[[data]]\nsamples = {json.dumps(str(work / 'samples.jsonl'))}\nweight = 1.0\n"
    )
    run = work / "run"
    subprocess.run([args.cropvlm, "sft", "--config", str(work / "sft.toml"), "--out", str(run)], check=True,
                   capture_output=True)
    text = "[10, 20, 63, 57]."
    (work / "one.json").write_text(json.dumps([
        {"image": "page.png", "question": "What is the total?", "completions": [text, "No."], "rewards": [1, 0]}
    ]))
    (work / "one.toml").write_text('beta = 0.0\nloss_type = "dr_grpo"\nmax_completion_length = 32\n')
    ours = json.loads(subprocess.run(
        [args.cropvlm, "debug", "grpo-step", "--model", str(model), "--adapter", str(run / "adapter"), "--rollouts",
         str(work / "one.json"), "--config", str(work / "one.toml"), "--json"],
        check=True, capture_output=True, text=True).stdout)
    with torch.no_grad():
        theirs = Policy(model, run / "adapter").logprobs(work / "page.png", "What is the total?", [text, "No."])
        bare = Policy(model).logprobs(work / "page.png", "What is the total?", [text, "No."])
        merged = Policy(run / "model").logprobs(work / "page.png", "What is the total?", [text, "No."])
    print(f"== adapter written by sft: it moves log-probabilities by {distance([bare], theirs):.3g}")
    report("log-probabilities through peft", distance(ours["logprobs"], theirs), 1e-4)
    report("log-probabilities of the merged folder in transformers", distance(ours["logprobs"], merged), 1e-4)


if __name__ == "__main__":
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = args.model or tiny(work / "tiny")
        compare_steps(args, model, work)
        compare_written_adapter(args, model, work)
    sys.exit(0 if fine else 1)
