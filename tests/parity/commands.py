"""Compares what the commands print with transformers: `debug inputs`, `score`, `answer`, `propose --unconstrained`.

python tests/parity/commands.py CROPVLM_BINARY MODEL_DIR PICTURE [--longest-edge N]

Ends with 1 if something differs, pixel values included: JPEG pictures are given as they are, Pillow decodes one side and
we the other.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoTokenizer, Idefics3ForConditionalGeneration, Idefics3Processor

parser = argparse.ArgumentParser()
parser.add_argument("cropvlm")
parser.add_argument("model")
parser.add_argument("picture")
parser.add_argument("--longest-edge", type=int, default=512)
parser.add_argument("--question", default="What is the TOTAL amount?")
parser.add_argument("--answer", default="RM 12.50")
parser.add_argument("--box", default="10,20.3,63.5,57")
args = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(args.model)
images = AutoImageProcessor.from_pretrained(args.model, backend="pil")
template = json.loads((Path(args.model) / "chat_template.json").read_text())["chat_template"]
model = Idefics3ForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
patches = images.max_image_size["longest_edge"] // model.config.vision_config.patch_size
processor = Idefics3Processor(
    images, tokenizer, image_seq_len=(patches // model.config.scale_factor) ** 2, chat_template=template
)
end = tokenizer.convert_tokens_to_ids("<end_of_utterance>")
picture = Image.open(args.picture).convert("RGB")
x1, y1, x2, y2 = (float(v) for v in args.box.split(","))
width, height = picture.size
crop = picture.crop((x1 * width / 100, y1 * height / 100, x2 * width / 100, y2 * height / 100))
question = args.question.capitalize()


def inputs(pictures, text):
    content = [{"type": "image"} for _ in pictures] + [{"type": "text", "text": text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    found = processor(text=prompt, images=[pictures], return_tensors="pt", size={"longest_edge": args.longest_edge})
    return {k: found[k] for k in ("input_ids", "attention_mask", "pixel_values")}


def greedy(found, tokens):
    with torch.no_grad():
        out = model.generate(
            **found, max_new_tokens=tokens, do_sample=False, eos_token_id=[end, 2], pad_token_id=2,
            output_logits=True, return_dict_in_generate=True,
        )
    ids = out.sequences[0, found["input_ids"].shape[1]:]
    logprob = sum(torch.log_softmax(l[0].double(), -1)[i].item() for l, i in zip(out.logits, ids))
    return tokenizer.decode(ids, skip_special_tokens=True).strip(), logprob


def run(*arguments):
    command = [args.cropvlm, *arguments, "--model", args.model, "--image", args.picture, "--question", args.question,
               "--longest-edge", str(args.longest_edge)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


fine = True


def report(what, equal, detail):
    global fine
    fine &= bool(equal)
    print(f"{what}: {'equal' if equal else 'NOT EQUAL'} ({detail})")


policy = inputs([picture], f"{question}\nOutline the region in the image that would help answer this question.")
with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "inputs.safetensors"
    run("debug", "inputs", "--out", str(out))
    found = load_file(out)
    same = found["pixel_values"].shape == policy["pixel_values"].shape
    error = (found["pixel_values"] - policy["pixel_values"]).abs().max().item() if same else float("inf")
    report("debug inputs, pixel_values", error < 1e-6, f"{tuple(found['pixel_values'].shape)}, largest difference {error:.3g}")
    report("debug inputs, input_ids", torch.equal(found["input_ids"], policy["input_ids"]), tuple(found["input_ids"].shape))

ours = json.loads(run("propose", "--unconstrained", "--json"))
text, logprob = greedy(policy, 32)
report("propose --unconstrained, completion", ours["completion"] == text, repr(text[:40]))
report("propose --unconstrained, logprob", abs(ours["logprob"] - logprob) < 1e-3 * abs(logprob), f"{ours['logprob']:.4f}, {logprob:.4f}")

read = inputs([picture, crop], f"{question}\nGive a very brief answer.")
ours = json.loads(run("answer", "--box", args.box, "--json"))
text, _ = greedy(read, 64)
report("answer, with a crop", ours["answer"] == text, repr(text[:40]))
ours = json.loads(run("answer", "--json"))
text, _ = greedy(inputs([picture], f"{question}\nGive a very brief answer."), 64)
report("answer, without", ours["answer"] == text, repr(text[:40]))

ours = json.loads(run("score", "--box", args.box, "--answer", args.answer, "--json"))
target = tokenizer(f" {args.answer.capitalize()}.<end_of_utterance>").input_ids
ids = torch.tensor([read["input_ids"][0].tolist() + target])
with torch.no_grad():
    logits = model(**dict(read, input_ids=ids, attention_mask=torch.ones_like(ids))).logits[0]
scores = torch.log_softmax(logits.double(), -1)
start = read["input_ids"].shape[1]
logprob = sum(scores[start + i - 1, t].item() for i, t in enumerate(target))
report("score, logprob", abs(ours["logprob"] - logprob) < 1e-3 * abs(logprob), f"{ours['logprob']:.5f}, {logprob:.5f}")
report("score, tokens", ours["tokens"] == len(target), ours["tokens"])
sys.exit(0 if fine else 1)
