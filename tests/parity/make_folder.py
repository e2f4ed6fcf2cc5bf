"""Makes a model folder of full SmolVLM size with random weights, for parity.py.

python tests/parity/make_folder.py FOLDER_WITH_CONFIG_AND_TOKENIZER OUT [--dtype bf16|f32] [--std 0.02]

The first folder needs config.json, tokenizer.json, preprocessor_config.json, processor_config.json and
chat_template.json of SmolVLM-256M-Instruct (or of any Idefics3 model); no weights.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, Idefics3ForConditionalGeneration

parser = argparse.ArgumentParser()
parser.add_argument("source", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="bf16")
parser.add_argument("--std", type=float, default=0.02, help="deviation of linear and embedding weights")
parser.add_argument("--seed", type=int, default=11)
args = parser.parse_args()

torch.manual_seed(args.seed)
args.out.mkdir(parents=True, exist_ok=True)
config = AutoConfig.from_pretrained(args.source)
model = Idefics3ForConditionalGeneration(config)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        noise = torch.randn_like(parameter)
        if parameter.ndim == 1:  # biases and norms too, so that none is trivial
            parameter.copy_(noise * 0.1 + (1 if "norm" in name and name.endswith("weight") else 0))
        else:
            parameter.copy_(noise * args.std)
model = model.to(torch.bfloat16 if args.dtype == "bf16" else torch.float32)
model.save_pretrained(args.out)
for name in ["config.json", "tokenizer.json", "preprocessor_config.json", "processor_config.json", "chat_template.json"]:
    shutil.copyfile(args.source / name, args.out / name)
print(sum(p.numel() for p in model.parameters()), "parameters in", args.out)
