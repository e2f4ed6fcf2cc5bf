"""Seconds of the GRPO step that `cropvlm bench train` measures, in PyTorch with transformers and peft.

python tests/parity/bench_train.py MODEL_DIR [--dtype f32|bf16] [--device cpu|cuda] [--group 6] [--tokens 20] [--steps 3]

The step is TRL's: rollouts by `generate` with a KV cache on a batch of G copies of the prompt, the likelihood reward by one
forward pass over G rows of full image, crop, question and answer, reference log-probabilities with the adapter off, then
log-probabilities of G rows, backwards, AdamW. Attention is torch's scaled_dot_product_attention. MODEL_DIR is an Idefics3
folder; its weights do not matter (random ones do). Run it after or before `cropvlm bench train --model MODEL_DIR`, never
beside it.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Idefics3ForConditionalGeneration, Idefics3Processor

QUESTION, ANSWER = "What is the total?", "12.50 euros."
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "fc1", "fc2", "proj"]

parser = argparse.ArgumentParser()
parser.add_argument("model", type=Path)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--device", default="cpu")
parser.add_argument("--group", type=int, default=6)
parser.add_argument("--tokens", type=int, default=20)
parser.add_argument("--rank", type=int, default=128)
parser.add_argument("--longest-edge", type=int, default=512)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--warmup", type=int, default=1)
parser.add_argument("--threads", type=int)
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)
cuda = args.device.startswith("cuda")
dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32

tokenizer = AutoTokenizer.from_pretrained(args.model)
images = AutoImageProcessor.from_pretrained(args.model, backend="pil")
template = json.loads((args.model / "chat_template.json").read_text())["chat_template"]


def load():
    model = Idefics3ForConditionalGeneration.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa")
    return model.to(args.device)


base = load()
patches = images.max_image_size["longest_edge"] // base.config.vision_config.patch_size
processor = Idefics3Processor(
    images, tokenizer, image_seq_len=(patches // base.config.scale_factor) ** 2, chat_template=template
)
# A bf16 base with f32 factors, as peft makes it.
lora = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=TARGETS)
policy = get_peft_model(base, lora).eval()
reader = load().eval()
factors = [p for p in policy.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(factors, lr=5e-6, betas=(0.9, 0.98), weight_decay=0.0)
rng = np.random.default_rng(1)
picture = Image.fromarray(rng.integers(0, 256, (args.longest_edge, args.longest_edge, 3), dtype=np.uint8))


def inputs(pictures, text, answer=""):
    """A batch: `pictures` has one list a row."""
    content = [{"type": "image"} for _ in pictures[0]] + [{"type": "text", "text": text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    edge = args.longest_edge if not answer else images.max_image_size["longest_edge"]
    found = processor(
        text=[prompt + answer] * len(pictures), images=pictures, return_tensors="pt", size={"longest_edge": edge}
    )
    found = {k: found[k].to(args.device) for k in ("input_ids", "attention_mask", "pixel_values")}
    return dict(found, pixel_values=found["pixel_values"].to(dtype))


def logprobs(model, found, keep):
    """Log-probabilities of the last `keep` tokens of each row."""
    logits = model(**found, logits_to_keep=keep + 1).logits[:, :-1].float()
    return torch.log_softmax(logits, -1).gather(2, found["input_ids"][:, -keep:, None])[..., 0]


def lap(parts, name):
    if cuda:
        torch.cuda.synchronize()
    now = time.perf_counter()
    parts[name] = parts.get(name, 0) + now - lap.last
    lap.last = now


def step(parts):
    lap.last = time.perf_counter()
    prompt = inputs([[picture]] * args.group, f"{QUESTION}\nOutline the region in the image that would help answer this question.")
    with torch.no_grad():
        ids = policy.generate(
            **prompt, do_sample=True, temperature=0.8, top_k=0, min_new_tokens=args.tokens, max_new_tokens=args.tokens,
            pad_token_id=2, use_cache=True, suppress_tokens=[base.config.image_token_id],
        )
    lap(parts, "rollout")

    boxes = [[rng.uniform(0, 50), rng.uniform(0, 50), rng.uniform(20, 50), rng.uniform(20, 50)] for _ in range(args.group)]
    scale = args.longest_edge / 100
    crops = [picture.crop((x * scale, y * scale, (x + w) * scale, (y + h) * scale)) for x, y, w, h in boxes]
    read = inputs([[picture, crop] for crop in crops], f"{QUESTION}\nGive a very brief answer.", f" {ANSWER}<end_of_utterance>")
    answer = len(tokenizer(f" {ANSWER}<end_of_utterance>", add_special_tokens=False).input_ids)
    with torch.no_grad():
        rewards = logprobs(reader, read, answer).sum(1)
    advantages = (rewards - rewards.mean())[:, None]
    lap(parts, "reward")

    full = dict(prompt, input_ids=ids, attention_mask=torch.ones_like(ids))
    with torch.no_grad(), policy.disable_adapter():
        ref = logprobs(policy, full, args.tokens)
    new = logprobs(policy, full, args.tokens)
    ratio = torch.exp(new - new.detach())
    k3 = torch.exp(ref - new) - (ref - new) - 1
    loss = (-ratio * advantages + 0.01 * k3).sum() / (args.group * args.tokens)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(factors, 0.1)
    optimizer.step()
    lap(parts, "update")


for i in range(args.warmup):
    step({})
    print(f"warm-up {i + 1}", flush=True)
parts = {}
for i in range(args.steps):
    step(parts)
    print(f"step {i + 1}: {sum(parts.values()) / (i + 1):.2f} s", flush=True)
seconds = {k: v / args.steps for k, v in parts.items()}
total = sum(seconds.values())
memory = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
for name, value in seconds.items():
    print(f"{name:8} {value:8.2f} s")
print(f"step     {total:8.2f} s; {args.group * args.tokens / total:.1f} tokens a second; peak memory {memory / 1e9:.2f} GB; "
      f"{args.dtype}, {args.device}, {torch.get_num_threads()} threads")
