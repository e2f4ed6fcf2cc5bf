"""Makes words.safetensors: what common words mean, as vectors of 64 numbers.

    pip install wordllama==0.4.0.post1 tokenizers safetensors numpy
    python3 make.py --scowl american-english-small --lines LINES.jsonl ... --out words.safetensors

Vectors are WordLlama's (MIT licence, https://github.com/dleemiller/WordLlama; l2_supercat_256 out of the PyPI package, its
first 64 dimensions, trained for being cut there); a word of several tokens has their sum. Words are those that the
tokenizer holds whole, those of SCOWL's small list (Debian's wamerican-small; free for any purpose with its notice, README.md)
of at most two tokens, and what this project's own pages print (`cropvlm render`, lines.jsonl). Letters are ids of the model's
characters (crates/mapnet/src/char_logits.rs), 0 after a word's end.
"""

import argparse, collections, json, pathlib, re, unicodedata

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

DIMENSIONS = 64
LETTERS = 12
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
ENDINGS = ("ly", "ness", "ing", "ed", "est", "ers", "ies", "ism", "ist", "ists")


def plain(word):
    """Lower case without accents."""
    word = unicodedata.normalize("NFKD", word.lower().replace("ß", "ss"))
    return "".join(c for c in word if not unicodedata.combining(c))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--scowl", required=True)
    args.add_argument("--lines", nargs="*", default=[])
    args.add_argument("--out", required=True)
    args = args.parse_args()

    import wordllama

    home = pathlib.Path(wordllama.__file__).parent
    table = next(iter(load_file(home / "weights/l2_supercat_256.safetensors").values()))[:, :DIMENSIONS]
    tokenizer = Tokenizer.from_file(str(home / "tokenizers/l2_supercat_tokenizer_config.json"))

    def ids(word):
        return tokenizer.encode(word, add_special_tokens=False).ids

    words = {}  # plain spelling -> spelling
    fits = lambda w: re.fullmatch(r"[a-z]{3,%d}" % LETTERS, plain(w))

    def take(some):
        for word in some:
            if fits(word):
                words.setdefault(plain(word), word)

    scowl = [w.strip() for w in open(args.scowl, encoding="utf8")]
    scowl = [w for w in scowl if w.islower() and fits(w)]
    known = set(scowl)
    take(w for w in scowl if len(ids(w)) == 1)
    take(w for w in scowl if len(ids(w)) == 2 and not w.endswith(ENDINGS) and not (w.endswith("s") and w[:-1] in known and len(w) > 8))
    counts = collections.Counter()
    for path in args.lines:
        for line in open(path, encoding="utf8"):
            page = " ".join(part["text"] for part in json.loads(line)["lines"]).lower()
            counts.update(set(re.findall(r"[^\W\d_]{3,}", page)))
    take(w for w, n in counts.items() if n >= 3)
    whole = [t[1:] for t in tokenizer.get_vocab() if t.startswith("\u2581")]
    take(w for w in sorted(whole) if w.islower() and len(w) >= 4)

    names = sorted(words)
    vectors = np.stack([table[ids(words[n])].astype(np.float32).sum(0) for n in names])
    letters = np.zeros((len(names), LETTERS), np.float32)
    for row, name in zip(letters, names):
        row[: len(name)] = [ALPHABET.index(c) + 1 for c in name]
    scale = np.abs(vectors).max(1) / 127
    out = {
        "words.vectors": np.round(vectors / scale[:, None]).astype(np.int8),
        "words.vectors.scale": scale.astype(np.float32),
        # An int8 row times its scale: whole numbers stay whole.
        "words.letters": letters.astype(np.int8),
        "words.letters.scale": np.ones(len(names), np.float32),
    }
    save_file(out, args.out, metadata={"format": "pt"})
    print(len(names), "words,", pathlib.Path(args.out).stat().st_size, "bytes")


main()
