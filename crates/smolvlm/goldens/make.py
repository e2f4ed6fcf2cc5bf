"""Makes the tiny preset (../tiny) and the goldens of this folder with transformers.

Run from anywhere: `python crates/smolvlm/goldens/make.py`; needs torch, transformers, tokenizers,
safetensors, pillow (made with torch 2.15, transformers 5.23, pillow 12). Tests never run it.

../tiny/*            a model folder without weights: configuration, tokenizer, chat template
model.safetensors    random weights for it, bf16 (also norms and biases, so that none is trivial)
tiny.safetensors     per case: pictures, pixel values, ids, last logits, greedy tokens, log-probabilities
positions.safetensors  the vision tower's position ids for several grids
"""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

HERE = Path(__file__).resolve().parent
TINY = HERE.parent / "tiny"
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
POLICY = "{}\nOutline the region in the image that would help answer this question."
ANSWER = "{}\nGive a very brief answer."
LAST = 8  # positions whose logits are kept


def write_tokenizer():
    """Byte-level, digits one by one, with the few merges that SmolVLM's tokenizer has in a box."""
    merges = [("Ġ", "["), ("]", "."), ("Ċ", "Ċ"), ("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n")]
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words += sorted(pre_tokenizers.ByteLevel.alphabet())
    words += [a + b for a, b in merges]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>"]
    special += [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
    special += ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    tokenizer.save(str(TINY / "tokenizer.json"), pretty=False)
    return tokenizer


def write_folder(tokenizer):
    vocab = tokenizer.get_vocab_size(with_added_tokens=True)
    config = {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": tokenizer.token_to_id("<image>"),
        "scale_factor": 2,
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "llama", "vocab_size": vocab, "hidden_size": 40, "intermediate_size": 72,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12,
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 100000,
            "hidden_act": "silu", "pad_token_id": 2,
        },
        "vision_config": {
            "model_type": "idefics3_vision", "hidden_size": 24, "intermediate_size": 40,
            "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 24, "patch_size": 4,
            "layer_norm_eps": 1e-6,
        },
    }
    processor = {
        "do_convert_rgb": True, "do_image_splitting": True, "do_normalize": True, "do_pad": True,
        "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.45, 0.4],
        "image_processor_type": "Idefics3ImageProcessor", "image_std": [0.5, 0.25, 0.3],
        "max_image_size": {"longest_edge": 24}, "processor_class": "Idefics3Processor", "resample": 1,
        "rescale_factor": 1 / 255, "size": {"longest_edge": 96},
    }
    for name, content in {
        "config.json": config,
        "preprocessor_config.json": processor,
        "processor_config.json": {"image_seq_len": 9, "processor_class": "Idefics3Processor"},
        "chat_template.json": {"chat_template": TEMPLATE},
    }.items():
        (TINY / name).write_text(json.dumps(content, indent=2) + "\n")


def make_model():
    torch.manual_seed(7)
    config = AutoConfig.from_pretrained(TINY)
    model = Idefics3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if parameter.ndim == 1:
                noise = noise * 0.2 + (1 if "norm" in name and name.endswith("weight") else 0)
            elif "embed" in name or "position" in name or "lm_head" in name:
                noise = noise * 0.8
            else:
                noise = noise * (1.6 / parameter[0].numel() ** 0.5)
            parameter.copy_(noise.to(torch.bfloat16).to(torch.float32))
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, HERE / "model.safetensors", metadata={"format": "pt"})
    return model


def picture(seed, width, height):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(height // 4, 1), max(width // 4, 1), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-30, 31, smooth.shape), 0, 255).astype(np.uint8)


def allowed(done, current):
    """Continuations ("0".."9" or "end") of a box whose first numbers are `done`, by brute force."""
    low = 0 if len(done) < 2 else done[len(done) - 2] + 1
    high = 99 if len(done) < 2 else 100
    numbers = [str(v) for v in range(low, high + 1)]
    result = [d for d in "0123456789" if any(n.startswith(current + d) for n in numbers)]
    return result + (["end"] if current in numbers else [])


def constrained(model, tokenizer, inputs, want=None):
    """The box `want` (or the greedy one) and the log of its chance under the grammar."""
    one = lambda text: tokenizer(text, add_special_tokens=False).input_ids
    between = one("0, 0")[1:-1]
    ids = inputs["input_ids"][0].tolist() + one(" [0")[:-1]
    done, logprob = [], 0.0
    while len(done) < 4:
        current = ""
        while True:
            options = allowed(done, current)
            close = one("0].")[1:] if len(done) == 3 else between
            first = {o: close[0] if o == "end" else one(o)[0] for o in options}
            full = dict(inputs, input_ids=torch.tensor([ids]))
            full["attention_mask"] = torch.ones_like(full["input_ids"])
            logits = model(**full).logits[0, -1].double()
            scores = torch.log_softmax(torch.stack([logits[first[o]] for o in options]), 0)
            if want is None:
                pick = int(scores.argmax())
            else:
                text = str(want[len(done)])
                pick = options.index("end" if current == text else text[len(current)])
            logprob += float(scores[pick])
            ids.append(first[options[pick]])
            if options[pick] == "end":
                ids += close[1:]
                done.append(int(current))
                break
            current += options[pick]
    return done, logprob


def main():
    TINY.mkdir(exist_ok=True)
    write_folder(write_tokenizer())
    model = make_model()
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    images = AutoImageProcessor.from_pretrained(TINY, backend="pil")
    processor = Idefics3Processor(images, tokenizer, image_seq_len=9, chat_template=TEMPLATE)
    end = tokenizer.convert_tokens_to_ids("<end_of_utterance>")

    cases = {
        # name: pictures (seed, width, height), longest edge, text, completion
        "tile": ([(1, 61, 37)], 24, POLICY.format("What is the total?"), "[10, 20, 63, 57]."),
        "grid": ([(2, 50, 80)], 72, POLICY.format("Où est l'été? 42 €"), "[0, 0, 100, 9]."),
        "thin": ([(3, 90, 4)], 50, ANSWER.format("Read the line."), "Nothing at all."),
        "pair": ([(4, 33, 70), (5, 7, 9)], 24, ANSWER.format("What is the date?"), "12/03/2019."),
    }
    goldens = {}
    for name, (pictures, edge, text, completion) in cases.items():
        arrays = [picture(*p) for p in pictures]
        content = [{"type": "image"} for _ in arrays] + [{"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
        inputs = processor(
            text=prompt, images=[[Image.fromarray(a) for a in arrays]], return_tensors="pt",
            size={"longest_edge": edge},
        )
        inputs = {k: inputs[k] for k in ("input_ids", "attention_mask", "pixel_values")}
        with torch.no_grad():
            logits = model(**inputs).logits
            greedy = model.generate(
                **inputs, max_new_tokens=20, do_sample=False, eos_token_id=end, pad_token_id=2
            )[0, inputs["input_ids"].shape[1]:]
            answer = processor.tokenizer(" " + completion + "<end_of_utterance>").input_ids
            ids = torch.tensor([inputs["input_ids"][0].tolist() + answer])
            both = dict(inputs, input_ids=ids, attention_mask=torch.ones_like(ids))
            scores = torch.log_softmax(model(**both).logits[0].double(), -1)
            start = inputs["input_ids"].shape[1]
            logprobs = torch.stack([scores[start + i - 1, t] for i, t in enumerate(answer)])
            goldens[f"{name}.greedy_box"], goldens[f"{name}.greedy_box_logprob"] = (
                torch.tensor(v, dtype=torch.float32) for v in constrained(model, tokenizer, inputs)
            )
            goldens[f"{name}.box_logprob"] = torch.tensor(
                [constrained(model, tokenizer, inputs, b)[1] for b in [(10, 20, 63, 57), (0, 9, 100, 10)]],
                dtype=torch.float32,
            )
        for i, array in enumerate(arrays):
            goldens[f"{name}.picture.{i}"] = torch.from_numpy(array)
        goldens[f"{name}.pixel_values"] = inputs["pixel_values"][0]
        goldens[f"{name}.input_ids"] = inputs["input_ids"][0]
        goldens[f"{name}.logits"] = logits[0, -LAST:].contiguous()
        goldens[f"{name}.greedy"] = greedy
        goldens[f"{name}.completion"] = torch.tensor(answer)
        goldens[f"{name}.logprobs"] = logprobs.float()
        goldens[f"{name}.longest_edge"] = torch.tensor([edge])
        goldens[f"{name}.text"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
        decoded = tokenizer.decode(greedy, skip_special_tokens=True)
        goldens[f"{name}.greedy_text"] = torch.tensor(list(decoded.encode()), dtype=torch.uint8)
        print(name, tuple(inputs["pixel_values"].shape), ids.shape, repr(decoded),
              goldens[f"{name}.greedy_box"].tolist())
    save_file({k: v.contiguous() for k, v in goldens.items()}, HERE / "tiny.safetensors")

    positions = {}
    for side, rows, columns in [(6, 6, 6), (14, 14, 14), (26, 26, 26), (27, 27, 27), (32, 32, 32),
                                (32, 16, 32), (4, 8, 3), (7, 5, 9), (70, 70, 70)]:
        config = model.config.vision_config.__class__(
            hidden_size=3, num_attention_heads=1, image_size=side * 2, patch_size=2
        )
        embeddings = type(model.model.vision_model.embeddings)(config)
        seen = []
        embeddings.position_embedding.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        mask = torch.ones((1, rows, columns), dtype=torch.bool)
        embeddings(torch.zeros((1, 3, rows * 2, columns * 2)), mask)
        positions[f"{side}.{rows}.{columns}"] = seen[0][0].to(torch.int32)
    save_file(positions, HERE / "positions.safetensors")


if __name__ == "__main__":
    main()
