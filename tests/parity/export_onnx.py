"""Writes a SmolVLM folder as ONNX files, f32 and int8, for `cargo xtask bench --peers`, and checks them against transformers.

python tests/parity/export_onnx.py MODEL_DIR OUT [--picture PICTURE] [--question TEXT] [--tokens 20]

MODEL_DIR is any Idefics3 folder; random weights do (make_folder.py). OUT gets three graphs, as applications in browsers have
them: `vision` (a tile to its image tokens, the connector included), `embed` (ids to vectors) and `decoder` (vectors and a
cache to the next token's logits and a longer cache), each as `_f32.onnx` and `_q8.onnx`; and what a run of them needs:
`case.json` (the prompt's ids, sizes, the greedy tokens of transformers) and `pixels.bin` (a tile, f32).

The graphs are written by hand with the operators that onnxruntime's own optimizer makes of such networks (attention with its
cache and rotation in one, which takes heads of a multiple of 8; residual and norm in one), so that the peer is measured at its
best. q8 is `quantize_dynamic`: weights int8 by tensor, activations by what they are. The first convolution of the tower stays in
f32: quantized it wants unsigned weights, with which the tower was slower natively and as fast in a browser.

Ends with 1 where f32 is beyond 1e-3 of transformers' largest logit, or writes other tokens. Of q8 the distance is printed.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from bench_peers import GRAPHS, Onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Idefics3ForConditionalGeneration, Idefics3Processor

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "{}\nOutline the region in the image that would help answer this question."
MICROSOFT = "com.microsoft"
FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


class Graph:
    """Nodes and weights of a graph; every call of an operator gives the names of what comes out."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, values):
        values = values.numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def call(self, operator, inputs, outputs=None, domain="", **attributes):
        name = f"{operator}_{len(self.nodes)}"
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name, domain=domain, **attributes))
        return outputs[0] if len(outputs) == 1 else outputs

    def fused(self, operator, inputs, outputs=None, **attributes):
        return self.call(operator, inputs, outputs, MICROSOFT, **attributes)

    def product(self, x, name, matrix, out=None):
        """x times the transpose of a linear layer's matrix."""
        return self.call("MatMul", [x, self.weight(name, matrix.T)], out and [out])

    def save(self, path, inputs, outputs):
        values = [[helper.make_tensor_value_info(*value) for value in part] for part in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, path.stem, *values, self.weights)
        versions = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
        onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=9), path)


def vision(model, path):
    """Tile [1, 3, side, side] to image tokens [tokens, hidden]."""
    tower, config, scale = model.model.vision_model, model.config.vision_config, model.config.scale_factor
    width, side = config.hidden_size, config.image_size // config.patch_size
    graph = Graph()
    norm_weights = lambda name, norm: [graph.weight(f"{name}.weight", norm.weight), graph.weight(f"{name}.bias", norm.bias)]
    patches = tower.embeddings.patch_embedding
    x = graph.call(
        "Conv", ["pixel_values", graph.weight("patches.weight", patches.weight), graph.weight("patches.bias", patches.bias)],
        kernel_shape=[config.patch_size] * 2, strides=[config.patch_size] * 2,
    )
    x = graph.call("Reshape", [x, graph.weight("rows", np.array([1, width, side * side], np.int64))])
    x = graph.call("Transpose", [x], perm=[0, 2, 1])
    x = graph.call("Add", [x, graph.weight("positions", tower.embeddings.position_embedding.weight[None])])
    layers = list(tower.encoder.layers)
    epsilon = config.layer_norm_eps
    y = graph.call("LayerNormalization", [x, *norm_weights("0.norm1", layers[0].layer_norm1)], axis=-1, epsilon=epsilon)
    for i, layer in enumerate(layers):
        attention = layer.self_attn
        three = {name: getattr(attention, f"{name}_proj") for name in "qkv"}
        heads = graph.fused(
            "MultiHeadAttention",
            [*(graph.product(y, f"{i}.{name}", linear.weight) for name, linear in three.items()),
             graph.weight(f"{i}.qkv.bias", torch.cat([linear.bias for linear in three.values()]))],
            num_heads=config.num_attention_heads,
        )
        read = graph.product(heads, f"{i}.out", attention.out_proj.weight)
        y, _, _, x = graph.fused(
            "SkipLayerNormalization",
            [read, x, *norm_weights(f"{i}.norm2", layer.layer_norm2), graph.weight(f"{i}.out.bias", attention.out_proj.bias)],
            [f"{i}.y", "", "", f"{i}.x"], epsilon=epsilon,
        )
        up = graph.product(y, f"{i}.fc1", layer.mlp.fc1.weight)
        up = graph.fused("FastGelu", [up, graph.weight(f"{i}.fc1.bias", layer.mlp.fc1.bias)])
        down = graph.product(up, f"{i}.fc2", layer.mlp.fc2.weight)
        last = i + 1 == len(layers)
        following = tower.post_layernorm if last else layers[i + 1].layer_norm1
        y = graph.fused(
            "SkipLayerNormalization",
            [down, x, *norm_weights(f"{i + 1}.norm1", following), graph.weight(f"{i}.fc2.bias", layer.mlp.fc2.bias)],
            [f"{i + 1}.y1"] if last else [f"{i + 1}.y1", "", "", f"{i + 1}.x1"], epsilon=epsilon,
        )
        if not last:
            y, _, _, x = y
    # Of scale x scale places one token, its numbers side by side.
    small = side // scale
    for step, (shape, turn) in enumerate([
        ([1, side, small, width * scale], True),
        ([1, small, small, width * scale**2], True),
        ([small * small, width * scale**2], False),
    ]):
        y = graph.call("Reshape", [y, graph.weight(f"shape.{step}", np.array(shape, np.int64))])
        y = graph.call("Transpose", [y], perm=[0, 2, 1, 3]) if turn else y
    graph.product(y, "connector", model.model.connector.modality_projection.proj.weight, "image_features")
    tile = [1, 3, config.image_size, config.image_size]
    out = [small * small, model.config.text_config.hidden_size]
    graph.save(path, [("pixel_values", FLOAT, tile)], [("image_features", FLOAT, out)])


def embed(model, path):
    """Ids [1, T] to vectors [1, T, hidden]."""
    graph = Graph()
    table = graph.weight("table", model.model.text_model.embed_tokens.weight)
    graph.call("Gather", [table, "input_ids"], ["inputs_embeds"], axis=0)
    hidden = model.config.text_config.hidden_size
    graph.save(path, [("input_ids", INT64, [1, "T"])], [("inputs_embeds", FLOAT, [1, "T", hidden])])


def decoder(model, path, context=2048):
    """Vectors [1, T, hidden] and a cache of P places to the logits [1, vocabulary] behind the last one and a cache of S = P + T."""
    text, config = model.model.text_model, model.config.text_config
    graph = Graph()
    size = config.head_dim
    angles = np.outer(np.arange(context), theta(model) ** (-np.arange(0, size, 2) / size))
    cosines, sines = (graph.weight(name, of(angles).astype(np.float32)) for name, of in (("cos", np.cos), ("sin", np.sin)))
    # What the attention asks for: the last place, and how many places there are.
    ones = graph.call("ReduceSum", ["attention_mask", graph.weight("axis", np.array([1], np.int64))], keepdims=0)
    last = graph.call("Cast", [graph.call("Sub", [ones, graph.weight("one", np.array([1], np.int64))])], to=INT32)
    shape = graph.call("Shape", ["attention_mask"])
    places = graph.call("Cast", [graph.call("Gather", [shape, graph.weight("second", np.array(1, np.int64))])], to=INT32)
    inputs = [("inputs_embeds", FLOAT, [1, "T", config.hidden_size]), ("attention_mask", INT64, [1, "S"])]
    outputs = [("logits", FLOAT, [1, config.vocab_size])]
    layers = list(text.layers)
    norm_weight = lambda name, norm: graph.weight(f"{name}.weight", norm.weight)
    epsilon = config.rms_norm_eps
    x = "inputs_embeds"
    y = graph.call("SimplifiedLayerNormalization", [x, norm_weight("0.norm1", layers[0].input_layernorm)], axis=-1, epsilon=epsilon)
    for i, layer in enumerate(layers):
        attention, mlp = layer.self_attn, layer.mlp
        packed = torch.cat([getattr(attention, f"{name}_proj").weight for name in "qkv"])
        past = [f"past.{i}.key", f"past.{i}.value"]
        present = [f"present.{i}.key", f"present.{i}.value"]
        inputs += [(name, FLOAT, [1, config.num_key_value_heads, "P", size]) for name in past]
        outputs += [(name, FLOAT, [1, config.num_key_value_heads, "S", size]) for name in present]
        heads, _, _ = graph.fused(
            "GroupQueryAttention",
            [graph.product(y, f"{i}.qkv", packed), "", "", *past, last, places, cosines, sines],
            [f"{i}.heads", *present],
            num_heads=config.num_attention_heads, kv_num_heads=config.num_key_value_heads, do_rotary=1,
        )
        read = graph.product(heads, f"{i}.out", attention.o_proj.weight)
        y, _, _, x = graph.fused(
            "SkipSimplifiedLayerNormalization", [read, x, norm_weight(f"{i}.norm2", layer.post_attention_layernorm)],
            [f"{i}.y", "", "", f"{i}.x"], epsilon=epsilon,
        )
        gate, up = (graph.product(y, f"{i}.{name}", getattr(mlp, f"{name}_proj").weight) for name in ("gate", "up"))
        gate = graph.call("Mul", [gate, graph.call("Sigmoid", [gate])])
        down = graph.product(graph.call("Mul", [gate, up]), f"{i}.down", mlp.down_proj.weight)
        end = i + 1 == len(layers)
        following = text.norm if end else layers[i + 1].input_layernorm
        y = graph.fused(
            "SkipSimplifiedLayerNormalization", [down, x, norm_weight(f"{i + 1}.norm1", following)],
            [f"{i + 1}.y1"] if end else [f"{i + 1}.y1", "", "", f"{i + 1}.x1"], epsilon=epsilon,
        )
        if not end:
            y, _, _, x = y
    y = graph.call("Gather", [y, graph.weight("end", np.array(-1, np.int64))], axis=1)
    graph.product(y, "head", model.lm_head.weight, "logits")
    graph.save(path, inputs, outputs)


def theta(model):
    """The base of the rotation, wherever this version of transformers keeps it."""
    config = model.config.text_config
    return float((getattr(config, "rope_parameters", None) or {}).get("rope_theta") or config.rope_theta)


def write(session, pixels, tokens):
    """Greedy tokens, and the logits that chose each."""
    logits = [session.prompt(session.vision(pixels))]
    while len(logits) <= tokens:
        logits.append(session.token(int(logits[-1].argmax())))
    return [int(row.argmax()) for row in logits], np.stack(logits)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--picture", default=ROOT / "tests/browser/pictures/receipt.jpg")
    parser.add_argument("--question", default="What is the total?")
    parser.add_argument("--tokens", type=int, default=20)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_grad_enabled(False)
    model = Idefics3ForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()

    images = AutoImageProcessor.from_pretrained(args.model, backend="pil")
    tile = model.config.vision_config.image_size
    template = json.loads((args.model / "chat_template.json").read_text())["chat_template"]
    per_tile = (tile // model.config.vision_config.patch_size // model.config.scale_factor) ** 2
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    processor = Idefics3Processor(images, tokenizer, image_seq_len=per_tile, chat_template=template)
    text = PROMPT.format(args.question.capitalize())
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    inputs = processor(
        text=processor.apply_chat_template(messages, add_generation_prompt=True),
        images=[[Image.open(args.picture).convert("RGB")]], return_tensors="pt", size={"longest_edge": tile},
    )
    ids, pixels = inputs["input_ids"], inputs["pixel_values"].float()
    assert pixels.shape == (1, 1, 3, tile, tile), f"one tile is wanted, not {tuple(pixels.shape)}"
    # Greedy, whatever ends an answer: so many tokens are written.
    answer = model.generate(
        input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), max_new_tokens=args.tokens + 1,
        min_new_tokens=args.tokens + 1, do_sample=False, pad_token_id=2, eos_token_id=None,
        return_dict_in_generate=True, output_logits=True,
    )
    wanted = torch.stack(answer.logits)[:, 0].numpy()
    text = model.config.text_config
    case = {
        "ids": ids[0].tolist(), "image_token": model.config.image_token_id, "tile": tile, "hidden": text.hidden_size,
        "layers": text.num_hidden_layers, "heads": text.num_key_value_heads, "head": text.head_dim,
        "tokens": answer.sequences[0, ids.shape[1]:].tolist(),
    }
    (args.out / "case.json").write_text(json.dumps(case))
    pixels = pixels[0].numpy()
    pixels.tofile(args.out / "pixels.bin")

    for name, make in zip(GRAPHS, (vision, embed, decoder)):
        make(model, args.out / f"{name}_f32.onnx")
    del model
    for name in GRAPHS:
        quantize_dynamic(
            args.out / f"{name}_f32.onnx", args.out / f"{name}_q8.onnx", weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather"], extra_options={"MatMulConstBOnly": True, "DefaultTensorType": FLOAT},
        )

    fine = True
    for kind in ("f32", "q8"):
        tokens, logits = write(Onnx(args.out, kind, case), pixels, args.tokens)
        # As long as the tokens are the same, so is what was read.
        same = next((i for i, (a, b) in enumerate(zip(tokens, case["tokens"])) if a != b), len(tokens))
        compared = slice(0, min(same + 1, len(tokens)))
        error = np.abs(logits[compared] - wanted[compared]).max() / np.abs(wanted).max()
        size = sum((args.out / f"{name}_{kind}.onnx").stat().st_size for name in GRAPHS) / 1e6
        print(f"{kind}: {size:.0f} MB, {same} of {len(tokens)} tokens as transformers, logits off by {error:.2g} of the largest")
        fine &= kind != "f32" or (same == len(tokens) and error <= 1e-3)
    if not fine:
        sys.exit("f32 is not what transformers computes")


if __name__ == "__main__":
    main()
