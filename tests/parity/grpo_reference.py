"""One GRPO step in PyTorch with transformers and peft: what grpo_step.py compares with and what
crates/policy/goldens/make.py writes down. No code of the workspace is used.

Formulas: advantages r - mean (dr_grpo), else divided by the group's sample deviation + 1e-4; ratio clipped to
1 ± epsilon; k3 = exp(ref - new) - (ref - new) - 1, weighted by beta; loss types as in TRL. Logits are divided by
the temperature before the log-softmax, as TRL does.
"""

import json
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, Idefics3ForConditionalGeneration, Idefics3Processor

PROMPT = "{}\nOutline the region in the image that would help answer this question."
LOSS_TYPES = ["dr_grpo", "grpo", "bnpo", "dapo"]


class Policy:
    """A model folder with a PEFT adapter, in f64 so that the reference's own rounding does not count."""

    def __init__(self, model_dir, adapter_dir=None, dtype=torch.float64):
        from peft import PeftModel

        model_dir = Path(model_dir)
        self.dtype = dtype
        self.tokenizer = AutoTokenizer.from_pretrained(model_dir)
        images = AutoImageProcessor.from_pretrained(model_dir, backend="pil")
        template = json.loads((model_dir / "chat_template.json").read_text())["chat_template"]
        model = Idefics3ForConditionalGeneration.from_pretrained(model_dir, dtype=dtype)
        patches = images.max_image_size["longest_edge"] // model.config.vision_config.patch_size
        self.edge = images.max_image_size["longest_edge"]
        self.processor = Idefics3Processor(
            images, self.tokenizer, image_seq_len=(patches // model.config.scale_factor) ** 2, chat_template=template
        )
        if adapter_dir is not None:
            model = PeftModel.from_pretrained(model, adapter_dir, is_trainable=True, autocast_adapter_dtype=False)
            model = model.to(dtype)
        self.model = model.eval()  # no dropout: the step is compared number by number

    def inputs(self, image, question, edge=None):
        content = [{"type": "image"}, {"type": "text", "text": PROMPT.format(question.capitalize())}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        picture = Image.open(image).convert("RGB")
        found = self.processor(
            text=prompt, images=[[picture]], return_tensors="pt", size={"longest_edge": edge or self.edge}
        )
        return found["input_ids"][0].tolist(), found["pixel_values"].to(self.dtype)

    def completion(self, text):
        return self.tokenizer(f" {text}<end_of_utterance>", add_special_tokens=False).input_ids

    def logprobs(self, image, question, completions, temperature=1.0):
        """Log-probabilities of every completion's tokens: a list of vectors."""
        ids, pixels = self.inputs(image, question)
        rows = []
        for text in completions:
            tokens = self.completion(text)
            full = torch.tensor([ids + tokens])
            logits = self.model(
                input_ids=full, attention_mask=torch.ones_like(full), pixel_values=pixels
            ).logits[0, len(ids) - 1 : -1]
            rows.append(torch.log_softmax(logits / temperature, -1).gather(1, torch.tensor(tokens)[:, None])[:, 0])
        return rows

    def factors(self):
        """The adapter's parameters by the key that they have in its file, sorted."""
        named = ((n.replace(".default.", "."), p) for n, p in self.model.named_parameters() if "lora_" in n)
        return dict(sorted(named))


def advantages(rewards, loss_type):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    centred = rewards - rewards.mean()
    return centred if loss_type == "dr_grpo" else centred / (rewards.std() + 1e-4)


def grpo_loss(new, old, ref, advantage, settings):
    """Loss of a batch; `new`, `old`, `ref` are lists of vectors, one a completion."""
    beta, epsilon = settings["beta"], settings.get("epsilon", 0.2)
    per_token = []
    for n, o, r, a in zip(new, old, ref, advantage):
        ratio = torch.exp(n - o)
        clipped = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)
        loss = -torch.min(ratio * a, clipped * a)
        if beta:
            loss = loss + beta * (torch.exp(r - n) - (r - n) - 1)
        per_token.append(loss)
    total = sum(row.sum() for row in per_token)
    tokens = sum(len(row) for row in per_token)
    match settings["loss_type"]:
        case "dr_grpo":
            return total / (len(per_token) * settings["max_completion_length"])
        case "grpo":
            return sum(row.mean() for row in per_token) / len(per_token)
        case "bnpo":  # the tokens of the local batch: of what stands here
            return total / tokens
        case "dapo":  # the tokens of all that is accumulated; left out: this is all
            return total / settings.get("tokens_in_batch", tokens)


def step(policy, groups, settings, root, old=None):
    """Loss, per-token numbers and gradients of one step over groups as the rollouts' file has them, one local batch.

    `old` shifts the log-probabilities that the ratio is taken to (a vector a completion), else they are equal.
    """
    new, ref, advantage = [], [], []
    for group in groups:
        image = Path(root) / group["image"]
        asked = (image, group["question"], group["completions"], settings.get("temperature", 1.0))
        new += policy.logprobs(*asked)
        with torch.no_grad(), policy.model.disable_adapter():
            ref += policy.logprobs(*asked)
        advantage += advantages(group["rewards"], settings["loss_type"]).tolist()
    before = [row.detach() + (old[i] if old else 0) for i, row in enumerate(new)]
    policy.model.zero_grad()
    loss = grpo_loss(new, before, ref, advantage, settings)
    loss.backward()
    factors = policy.factors()
    gradients = {k: torch.zeros_like(p) if p.grad is None else p.grad.clone() for k, p in factors.items()}
    kl = [torch.exp(r - n) - (r - n) - 1 for n, r in zip(new, ref)]
    return {
        "loss": loss.detach(),
        "logprobs": [row.detach() for row in new],
        "kl": [row.detach() for row in kl],
        "advantages": advantage,
        "gradients": gradients,
        "grad_norm": torch.sqrt(sum((g * g).sum() for g in gradients.values())),
    }
