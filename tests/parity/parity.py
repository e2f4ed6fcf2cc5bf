"""Compares this workspace's SmolVLM with transformers on one model folder; see README.md beside.

python tests/parity/parity.py MODEL_DIR PICTURE [--question TEXT] [--longest-edge N ...]

Prints the largest differences of pixel values, ids, logits and greedy tokens; ends with 1 if one is beyond
its bound (1/255; equal; 1e-3 relative to the largest logit; equal).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoTokenizer, Idefics3ForConditionalGeneration, Idefics3Processor

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "{}\nOutline the region in the image that would help answer this question."

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("picture")
parser.add_argument("--question", default="What is the TOTAL amount?")
parser.add_argument("--longest-edge", type=int, nargs="+", default=[512])
parser.add_argument("--compute", nargs="+", help="the built example, instead of `cargo run` of it")
args = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(args.model)
images = AutoImageProcessor.from_pretrained(args.model, backend="pil")
template = __import__("json").loads((Path(args.model) / "chat_template.json").read_text())["chat_template"]
model = Idefics3ForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
tile, patch = images.max_image_size["longest_edge"], model.config.vision_config.patch_size
processor = Idefics3Processor(
    images, tokenizer, image_seq_len=(tile // patch // model.config.scale_factor) ** 2, chat_template=template
)
end = tokenizer.convert_tokens_to_ids("<end_of_utterance>")
fine = True

for edge in args.longest_edge:
    print(f"== longest edge {edge}")
    messages = [{"role": "user", "content": [
        {"type": "image"}, {"type": "text", "text": PROMPT.format(args.question.capitalize())},
    ]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    start = time.perf_counter()
    inputs = processor(
        text=text, images=[[Image.open(args.picture).convert("RGB")]], return_tensors="pt",
        size={"longest_edge": edge},
    )
    inputs = {k: inputs[k] for k in ("input_ids", "attention_mask", "pixel_values")}
    with torch.no_grad():
        logits = model(**inputs, logits_to_keep=64).logits[0]
        print(f"transformers, picture to logits: {time.perf_counter() - start:.2f} s")
        greedy = model.generate(
            **inputs, max_new_tokens=24, do_sample=False, eos_token_id=end, pad_token_id=2
        )[0, inputs["input_ids"].shape[1]:]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.safetensors"
        # Both sides get the same pixels: JPEG decoders may differ by a level or two.
        picture = Path(folder) / "picture.png"
        Image.open(args.picture).convert("RGB").save(picture)
        cargo = ["cargo", "run", "--release", "--quiet", "-p", "smolvlm", "--example", "compute", "--"]
        command = (args.compute or cargo) + [args.model, str(picture), args.question, str(edge), str(out)]
        saved = Path(folder) / "saved"
        if edge == args.longest_edge[-1]:
            command.append(str(saved))
        subprocess.run(command, cwd=ROOT, check=True)
        ours = load_file(out)
        if saved.exists():
            again = Idefics3ForConditionalGeneration.from_pretrained(saved, dtype=torch.float32).state_dict()
            same = all(torch.equal(v.bfloat16(), again[k].bfloat16()) for k, v in model.state_dict().items())
            print(f"saved here, loaded by transformers: {'all weights equal' if same else 'NOT EQUAL'} in bf16")
            fine &= same
            del again

    pixels = (ours["pixel_values"] - inputs["pixel_values"][0]).abs().max().item() \
        if ours["pixel_values"].shape == inputs["pixel_values"][0].shape else float("inf")
    ids = ours["input_ids"].tolist() == inputs["input_ids"][0].tolist()
    scale = logits.abs().max().item()
    error = (ours["logits"] - logits).abs().max().item() if ours["logits"].shape == logits.shape else float("inf")
    top = (ours["logits"].argmax(-1) == logits.argmax(-1)).float().mean().item()
    same = ours["greedy"].tolist() == greedy.tolist()
    print(f"pixel values {tuple(inputs['pixel_values'].shape)}: largest difference {pixels:.3g} (bound {1 / 255:.3g})")
    print(f"input ids: {'equal' if ids else 'NOT EQUAL'}, {inputs['input_ids'].shape[1]} tokens")
    print(f"logits: largest difference {error:.3g} of {scale:.3g}, relative {error / scale:.3g} (bound 1e-3); "
          f"same best token at {top:.1%} of {len(logits)} positions")
    print(f"greedy tokens: {'equal' if same else 'NOT EQUAL'}, {len(greedy)}")
    if not same:
        print("  transformers", greedy.tolist(), "\n  here        ", ours["greedy"].tolist())
    fine &= pixels <= 1 / 255 and ids and error / scale <= 1e-3 and same

sys.exit(0 if fine else 1)
