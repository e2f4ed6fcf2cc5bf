"""Time to a box in onnxruntime and in PyTorch, on the processor: what `cargo xtask bench --peers` puts beside our own.

python tests/parity/bench_peers.py ONNX_DIR MODEL_DIR ort-q8|ort-f32|torch-f32|torch-bf16 [--runs 6] [--tokens 20]

ONNX_DIR is what export_onnx.py made of MODEL_DIR. Prints one line of JSON: milliseconds of the vision tower on a tile, of the
prompt, and of a token, each the best of all runs but the first; peak memory in MB. One process measures one peer, so that the
memory is its own.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np

GRAPHS = ["vision", "embed", "decoder"]


class Onnx:
    """The graphs in onnxruntime, as an application calls them."""

    def __init__(self, folder, kind, case, threads=0):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.run = {
            name: onnxruntime.InferenceSession(folder / f"{name}_{kind}.onnx", options, providers=["CPUExecutionProvider"]).run
            for name in GRAPHS
        }
        self.case, self.version = case, f"onnxruntime {onnxruntime.__version__}"
        self.names = [f"past.{i}.{part}" for i in range(case["layers"]) for part in ("key", "value")]

    def vision(self, pixels):
        return self.run["vision"](None, {"pixel_values": pixels})[0]

    def prompt(self, features):
        """Reads the prompt with an empty cache; logits behind its last token."""
        ids = np.array([self.case["ids"]], np.int64)
        vectors = self.run["embed"](None, {"input_ids": ids})[0]
        vectors[ids == self.case["image_token"]] = features
        self.past = [np.zeros((1, self.case["heads"], 0, self.case["head"]), np.float32)] * len(self.names)
        return self.read(vectors)

    def token(self, token):
        return self.read(self.run["embed"](None, {"input_ids": np.array([[token]], np.int64)})[0])

    def read(self, vectors):
        places = self.past[0].shape[2] + vectors.shape[1]
        given = {"inputs_embeds": vectors, "attention_mask": np.ones((1, places), np.int64)}
        logits, *self.past = self.run["decoder"](None, given | dict(zip(self.names, self.past)))
        return logits[0]


class Torch:
    """transformers' own model, its attention torch's scaled_dot_product_attention."""

    def __init__(self, folder, kind, case, threads=0):
        import torch
        from transformers import Idefics3ForConditionalGeneration
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_grad_enabled(False)
        if threads:
            torch.set_num_threads(threads)
        self.torch, self.version = torch, f"PyTorch {torch.__version__}"
        self.dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[kind]
        model = Idefics3ForConditionalGeneration.from_pretrained(folder, dtype=self.dtype, attn_implementation="sdpa")
        self.model, self.case = model.eval(), case

    def vision(self, pixels):
        torch, model, config = self.torch, self.model.model, self.model.config.vision_config
        side = config.image_size // config.patch_size
        mask = torch.ones(1, side, side, dtype=torch.bool)
        tile = torch.from_numpy(pixels).to(self.dtype)
        return model.connector(model.vision_model(pixel_values=tile, patch_attention_mask=mask).last_hidden_state)[0]

    def prompt(self, features):
        ids = self.torch.tensor([self.case["ids"]])
        vectors = self.model.model.text_model.embed_tokens(ids)
        vectors[ids == self.case["image_token"]] = features
        self.past = None
        return self.read(vectors)

    def token(self, token):
        return self.read(self.model.model.text_model.embed_tokens(self.torch.tensor([[token]])))

    def read(self, vectors):
        out = self.model.model.text_model(inputs_embeds=vectors, past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return self.model.lm_head(out.last_hidden_state[:, -1])[0].float().numpy()


def one_run(peer, pixels, tokens):
    """Milliseconds of vision, prompt, and a token; the greedy tokens."""
    laps, written = [time.perf_counter()], []
    lap = lambda: laps.append(time.perf_counter())
    features = peer.vision(pixels)
    lap()
    written.append(int(peer.prompt(features).argmax()))
    lap()
    for _ in range(tokens):
        written.append(int(peer.token(written[-1]).argmax()))
    lap()
    vision, prompt, rest = (1e3 * (end - start) for start, end in zip(laps, laps[1:]))
    return {"vision": vision, "prompt": prompt, "token": rest / tokens}, written


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("onnx", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("peer", choices=["ort-q8", "ort-f32", "torch-f32", "torch-bf16"])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    case = json.loads((args.onnx / "case.json").read_text())
    pixels = np.fromfile(args.onnx / "pixels.bin", np.float32).reshape(1, 3, case["tile"], case["tile"])
    which, kind = args.peer.split("-")
    peer = Onnx(args.onnx, kind, case, args.threads) if which == "ort" else Torch(args.model, kind, case, args.threads)
    # The first run makes room and is not counted.
    runs = [one_run(peer, pixels, args.tokens) for _ in range(args.runs + 1)][1:]
    best = {part: min(times[part] for times, _ in runs) for part in runs[0][0]}
    same = sum(a == b for a, b in zip(runs[0][1], case["tokens"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"version": peer.version, "most": peak, "tokens_as_transformers": same, **best}))


if __name__ == "__main__":
    main()
