"""Train the embedded storyteller, or measure any model on a text.

    python data/storyteller/train.py CORPUS                   # rebuild this folder from story text
    python data/storyteller/train.py --evaluate FOLDER TEXT   # bits per byte of a model on a text

CORPUS is a folder of ``NAME.txt`` or ``NAME.txt.gz``: paragraphs separated by a blank line, a line
``<|endoftext|>`` after every story. About one story in a hundred, picked by its hash, is held out of
training and measured at the end. Training continues from the last checkpoint in ``--work``. The text beside this
file, ``typed.txt.gz``, is one more source, which no run of the recipe learns from yet; a run of one's own does with
``--set typed=20``. A file of that name in CORPUS is not read.

The model is transformers' Llama. Hidden matrices learn with Muon (Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon/), the embedding and the norms with AdamW; the learning
rate is flat and falls linearly to zero at the end (Hägele et al., 2024, arXiv:2405.18392), so that a
run can be lengthened from a checkpoint that has not begun to fall. What is written is a running mean of
the weights, which does much of what the falling rate does: ``--set tokens=…``, the tokens that a run has
seen so far, writes the model as it is.

The recipe is several runs, ``RUNS``. One that goes on from a finished model may be deeper than that. Those from the
second to the eighth write a mean of the weights before and after them, which is better than either (Wortsman et al.,
2022, arXiv:2109.01903). The fifth divides the logits by a temperature, because the model was too sure of itself (Guo
et al., 2017, arXiv:1706.04599). The sixth learns from several of the models before it, its ``teachers``: together they
predict better than each of them. In the seventh some stories begin in the middle of a scene, ``Scenes``, as what a
reader types may. Those from the eighth on learn which of some candidates that were judged are better,
``preferences.py``; the tenth and the eleventh go on from the same model, and the eleventh writes the mean of both.
Those from the twelfth on learn it as the game picks the best of several texts, by the mean log-probability of their
tokens; the thirteenth and the fourteenth go on from the twelfth, and the fourteenth writes the mean of both. Those
from the fifteenth on learn from marks that tell what takes up the story from what would fit after any. The
nineteenth goes on from the sixteenth and writes the mean with the eighteenth: to it worn phrases are dear, as the runs
before it had come to say the same everywhere.

``--set``, ``--start`` and ``--teacher`` are for a single run of one's own; ``--rehearse`` is all runs, short, to see
that they work before the many hours that they take.

A step allocates and frees much memory. How glibc keeps it, which makes this 1.2 to 1.3 times as fast, is in the card.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from preferences import (
    PHRASE,
    PREFERENCES,
    Judged,
    additive_mask,
    lengths,
    log_probabilities,
    piece_mask,
    pieces,
    preference_loss,
    read_preferences,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

END = "<|endoftext|>"
TYPED = "typed"  # the source beside this file: short texts that begin as people type, and are no whole stories

# How often a story of each source is seen, relative to the others: modern, plain prose first, the
# long sentences of the nineteenth century for colour. A file not named here has weight 1.
WEIGHTS = {
    "tinystories": 3.0,
    "tinystories_more": 3.0,
    "llama_stories": 2.0,
    "childrens_ccby": 2.0,
    "fairytales": 0.6,
    "childrens_classics": 0.4,
    "classic_stories": 0.15,
    "fables_llama": 0.5,
    "fables_apache": 0.5,
    TYPED: 0.0,
}

# The sources whose stories are told again of children with other names, and these: each stands for any of its group.
RENAMED = ("tinystories", "tinystories_more")
GIRLS = (
    *("Lily", "Sue", "Emily", "Lucy", "Emma", "Mia", "Amy", "Sarah"),
    *("Anna", "Sally", "Sara", "Lena", "Ava", "Lila", "Molly", "Kate"),
)
BOYS = ("Tim", "Tom", "Max", "Sam", "Ben", "Jack", "Timmy", "Bob", "John", "Alex", "Tommy", "Jim")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a run, apart from the corpus and the weights that it begins with."""

    vocabulary: int = 8_192
    hidden: int = 320
    layers: int = 6
    heads: int = 5
    intermediate: int = 896
    context: int = 512
    short_context: int = 256  # up to the last share of the tokens: short rows cost a fifth less on a CPU
    long: float = 0.25  # that share, in which rows are as long as the context
    batch: int = 8_192  # tokens
    piece: int = 2_048  # tokens of a batch that are computed at once: what they need fits a processor's cache
    tokens: int = 40_386_560  # 4,930 steps
    warmup: int = 100  # steps
    decay: float = 0.25  # the last share of the tokens, in which the learning rate falls to zero
    lr_muon: float = 0.02  # 0: no Muon, AdamW for all
    lr_adamw: float = 0.003
    weight_decay: float = 0.01
    horizon: int = 60  # steps that the mean of the weights looks back
    origin: int = 0  # the number of the run from whose model it goes on; 0: the one before
    kept: float = 0.5  # the share, in what is written, of the weights of the run before, or of ``--start``
    taught: float = 0.0  # the share of the loss that asks for what the teachers predict
    teachers: tuple[int, ...] = ()  # the numbers of the runs whose models those are, together
    temperature: float = 1.0  # that the logits of what is written are divided by
    renamed: float = 0.0  # the share of the stories in ``RENAMED`` that are told of children with other names
    scenes: float = 0.0  # the share of the stories that begin at one of their later sentences
    rest: int = 150  # tokens that there are at least from that sentence to the end
    preferred: float = 0.0  # the weight, beside all else, of the loss that asks for the better of judged candidates
    beta: float = 0.1  # how dear a nat of difference from the model that it goes on from is to that loss
    beta_mean: float = 0.0  # above 0, beta does not count, but this: how dear a nat of a candidate's mean token is
    judged: int = 4_096  # tokens of a step's candidates and their prompts, and of what fills their rows up
    since: int = 0  # candidates that were judged in this round or later
    rounds: int = 5  # and in rounds before this one
    worn: float = 0.0  # what a phrase costs a candidate, times the share of prompts after which it is written
    phrase: int = PHRASE  # words of a phrase
    seed: int = 0
    weights: Mapping[str, float] = field(default_factory=WEIGHTS.copy)  # of the sources

    @property
    def steps(self) -> int:
        return self.tokens // self.batch

    def left(self, step: int) -> float:
        """What remains at a step, in units of the decay: above 1 while the learning rate is flat."""
        return (self.steps - step) / max(1, round(self.steps * self.decay))

    def rate(self, step: int) -> float:
        """The share of the learning rate in force at a step."""
        return min(1.0, (step + 1) / self.warmup, self.left(step))

    def context_at(self, step: int) -> int:
        return self.short_context if step < self.steps * (1 - self.long) else self.context


def later(tinystories: float, llama_stories: float, **changes: Any) -> Recipe:
    """A run from a finished model: the rate falls from its beginning, and these sources have weights of their own."""
    weights = {"tinystories": tinystories, "tinystories_more": tinystories, "llama_stories": llama_stories}
    return Recipe(**{"warmup": 50, "decay": 1.0, "weights": WEIGHTS | weights, **changes})


# What the sixth and the seventh run have in common.
TAUGHT: dict[str, Any] = {
    "tinystories": 5.0,
    "tokens": 13_107_200,
    "layers": 12,
    "warmup": 30,
    "lr_muon": 0.014,
    "lr_adamw": 0.002,
    "weight_decay": 0.08,
    "renamed": 0.7,
    "taught": 0.7,
}

# And those that learn from judged candidates. Beside these: the text, and what the seventh model expects there.
JUDGED: dict[str, Any] = {
    "tinystories": 5.0,
    "llama_stories": 2.0,
    "layers": 12,
    "batch": 2_048,
    "warmup": 10,
    "lr_muon": 0.0,
    "lr_adamw": 0.0002,
    "weight_decay": 0.0,
    "horizon": 30,
    "kept": 0.0,
    "taught": 0.8,
    "teachers": (7,),
    "renamed": 0.7,
    "scenes": 0.3,
    "preferred": 0.6,
}
LIKELIER = JUDGED | {"beta_mean": 2.0}
EIGHTH = JUDGED | {"llama_stories": 4.0, "lr_adamw": 0.00015, "kept": 0.3, "preferred": 0.5, "beta": 0.3}

# The runs that make the storyteller, each from the model before. But the eleventh goes on from the ninth, as the tenth
# does, the fourteenth from the twelfth, as the thirteenth does, and the nineteenth from the sixteenth, as the
# seventeenth does; each of the three writes the mean with the model before it.
RUNS = (
    Recipe(),
    later(6.0, 1.5, tokens=15_564_800),
    later(6.0, 2.0, tokens=14_745_600, layers=12, weight_decay=0.05, kept=0.25),
    later(7.0, 2.0, tokens=22_118_400, layers=12, weight_decay=0.05, kept=0.12, renamed=0.7),
    later(7.0, 2.0, tokens=19_660_800, layers=12, weight_decay=0.08, kept=0.12, renamed=0.7, temperature=1.04, seed=1),
    later(**TAUGHT, llama_stories=3.0, kept=0.12, teachers=(2, 4, 5), seed=2),
    later(**TAUGHT, llama_stories=4.0, kept=0.25, teachers=(2, 4, 6), seed=3, scenes=0.3),
    later(**EIGHTH, tokens=409_600, rounds=4),
    later(**JUDGED, tokens=491_520, rounds=5, seed=1),
    later(**JUDGED, tokens=389_120, rounds=6, seed=3),
    later(**JUDGED | {"kept": 0.5}, tokens=409_600, rounds=6, seed=4, origin=9, worn=20.0),
    later(**LIKELIER, tokens=204_800, since=5, rounds=7, seed=7),
    later(**LIKELIER, tokens=409_600, since=6, rounds=8, seed=8),
    later(**LIKELIER | {"kept": 0.5}, tokens=409_600, since=6, rounds=8, seed=9, origin=12, worn=20.0),
    later(**LIKELIER, tokens=819_200, since=9, rounds=11, seed=10, worn=10.0),
    later(**LIKELIER, tokens=1_228_800, since=9, rounds=13, seed=12, worn=10.0),
    later(**LIKELIER, tokens=1_228_800, since=12, rounds=15, seed=13, worn=10.0),
    later(**LIKELIER, tokens=1_024_000, since=14, rounds=16, seed=14, worn=10.0),
    later(**LIKELIER | {"kept": 0.5}, tokens=819_200, since=12, rounds=16, seed=17, origin=16, worn=20.0, phrase=3),
)


# --- corpus ---------------------------------------------------------------------------------------


def read_stories(file: Path) -> list[str]:
    """The stories of one file, without their separators."""
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    return [story.strip() for story in data.decode().split(END) if story.strip()]


def held_out(story: str) -> bool:
    """True for the one story in a hundred that training never sees; the same in every run."""
    return int(hashlib.sha256(story.encode()).hexdigest()[:8], 16) % 100 == 0


def few_held_out(stories: list[str], few: int = 5) -> list[str]:
    """What a rehearsal reads: to measure all that is held out takes it longer than to train."""
    rest = {*[story for story in stories if held_out(story)][few:]}
    return [story for story in stories if story not in rest]


def read_corpus(folder: Path) -> dict[str, list[str]]:
    files = sorted([*folder.glob("*.txt"), *folder.glob("*.txt.gz")])
    if not files:
        raise SystemExit(f"{folder} holds no .txt or .txt.gz file; give the folder of the story text.")
    return {file.name.removesuffix(".gz").removesuffix(".txt"): read_stories(file) for file in files}


def arithmetic(device: str) -> torch.dtype:
    """What products are computed in: bfloat16, but where a processor could only imitate it, which is slower."""
    native = device == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def train_tokenizer(corpus: dict[str, list[str]], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE; every text starts with ``END``, which says that a story begins here."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    stories = (s for name, texts in corpus.items() for s in texts if not held_out(s))
    bpe.train_from_iterator(stories, trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, bpe.token_to_id(END))])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=END, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )


def encode(corpus: dict[str, list[str]], tokenizer: PreTrainedTokenizerFast) -> dict[str, list[np.ndarray]]:
    """Training stories as token ids, each starting with ``END``."""
    tokens = {}
    for name, stories in corpus.items():
        kept = [story for story in stories if not held_out(story)]
        tokens[name] = [np.array(e.ids, dtype=np.uint16) for e in tokenizer.backend_tokenizer.encode_batch(kept)]
    return tokens


class Renaming:
    """Gives the children of a story other names, each as often as the corpus has it.

    Seen under new names every time, a story is not so soon known by heart.
    """

    def __init__(self, tokens: dict[str, list[np.ndarray]], vocabulary: dict[str, int], share: float) -> None:
        self.share, self.size = share, len(vocabulary)
        stories = [np.unique(story) for source in RENAMED for story in tokens.get(source, [])]
        counts = np.bincount(np.concatenate([*stories, np.empty(0, np.uint16)]), minlength=self.size)
        self.groups = []  # of names, as tokens without and with a space before them; and their shares
        for names in (GIRLS, BOYS):
            pairs = [(vocabulary.get(name), vocabulary.get("Ġ" + name)) for name in names]
            group = np.array([pair for pair in pairs if None not in pair], dtype=np.uint16)
            if len(group):
                often = counts[group].sum(1) + 1.0
                self.groups.append((group, often / often.sum()))

    def __call__(self, source: str, story: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if source not in RENAMED or rng.random() >= self.share:
            return story
        other = np.arange(self.size, dtype=np.uint16)
        for group, often in self.groups:
            here = np.flatnonzero(np.isin(group, story).any(1))
            other[group[here]] = group[rng.choice(len(group), len(here), replace=False, p=often)]
        return other[story]


class Scenes:
    """Lets a story begin at one of its later sentences, drawn at random, at least ``rest`` tokens before its end.

    A text that a reader types may begin anywhere, and stands after ``END`` like a story. That this one does is said to
    whom it concerns by another token in its place, ``middle``, which no text holds: the model reads it as ``END``.
    """

    def __init__(self, vocabulary: dict[str, int], share: float, rest: int) -> None:
        self.share, self.rest, self.middle = share, rest, len(vocabulary)
        self.open = self.middle + 1  # stands after a text that is no whole story: nothing is learnt from it
        tokens = sorted(vocabulary, key=vocabulary.__getitem__)
        # The last token of a sentence; not a question or a cry that ends with its quotation: "who?" Ann asked.
        self.last = np.array([token.endswith((".", "!", "?", '."')) for token in tokens])
        self.titles = [i for i, token in enumerate(tokens) if token.lstrip("Ġ") in ("Mr", "Mrs", "Ms", "Dr", "St")]
        self.quotes = np.array([token.count('"') for token in tokens])
        self.breaks = np.array(["Ċ" in token for token in tokens])
        # The first token of a sentence without the space before it; 0, which is END, for all that cannot be one.
        first = [
            token[1:] if token[0] == "Ġ" and (token[1:2].isupper() or token[1:] == '"') else "" for token in tokens
        ]
        self.first = np.array([vocabulary.get(token, 0) for token in first], dtype=np.uint16)

    def __call__(self, story: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.share or rng.random() >= self.share:
            return story
        quotes = np.cumsum(self.quotes[story])
        in_paragraph = quotes - np.maximum.accumulate(np.where(self.breaks[story], quotes, 0))
        ends = self.last[story] & (in_paragraph % 2 == 0)  # of sentences, outside quotations
        ends[1:] &= ~np.isin(story[:-1], self.titles)  # which a "." follows
        places = 1 + np.flatnonzero(ends[:-1] & (self.first[story[1:]] > 0))
        places = places[(places > 1) & (places <= len(story) - self.rest)]
        if not len(places):
            return story
        place = rng.choice(places)
        return np.concatenate([[self.middle, self.first[story[place]]], story[place + 1 :]]).astype(np.uint16)


def epoch_rows(
    tokens: dict[str, list[np.ndarray]],
    weights: Mapping[str, float],
    rename: Renaming,
    scene: Scenes,
    context: int,
    seed: int,
) -> np.ndarray:
    """One pass over the weighted stories as shuffled rows, shape (n, context + 1).

    Stories follow one another, each after its ``END``, or ``scene.middle``; ``scene.open`` stands after a typed one. A
    row may start inside a story: this is how the model learns to go on from a window that has lost the beginning.
    """
    rng = np.random.default_rng(seed)
    picked: list[np.ndarray] = []
    for name, stories in tokens.items():
        weight = weights.get(name, 1.0)
        whole, rest = int(weight), weight % 1
        some = rng.permutation(len(stories))[: round(len(stories) * rest)]
        stop = [scene.open] if name == TYPED else []
        for story in (*(stories * whole), *(stories[i] for i in some)):
            picked.append(np.append(scene(rename(name, story, rng), rng), np.array(stop, np.uint16)))
    stream = np.concatenate([picked[i] for i in rng.permutation(len(picked))])
    starts = np.arange(0, len(stream) - context - 1, context)
    rng.shuffle(starts)
    return stream[starts[:, None] + np.arange(context + 1)]


def batches(
    recipe: Recipe, tokens: dict[str, list[np.ndarray]], rename: Renaming, scene: Scenes, step: int
) -> Iterator[np.ndarray]:
    """What each step from ``step`` on learns from: rows of that step's context, and one token more."""
    size = sum(round(recipe.weights.get(name, 1.0) * sum(map(len, stories))) for name, stories in tokens.items())
    per_epoch = (size - recipe.context) // recipe.batch
    if per_epoch < 1:
        raise SystemExit(f"The corpus is too small: one step takes {recipe.batch:,} tokens.")
    drawn, rows = (-1, 0), np.empty((0, 0))
    while True:
        (epoch, at), context = divmod(step, per_epoch), recipe.context_at(step)
        if drawn != (epoch, context):
            seed = recipe.seed + epoch
            drawn, rows = (epoch, context), epoch_rows(tokens, recipe.weights, rename, scene, context, seed)
        count = recipe.batch // context
        # Stories that are drawn for a part of an epoch, or cut, may have fewer tokens; then its first rows come again.
        yield rows.take(range(at * count, (at + 1) * count), axis=0, mode="wrap")
        step += 1


# --- training -------------------------------------------------------------------------------------


def new_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, start: Path | None = None) -> LlamaForCausalLM:
    """The recipe's model with random weights, or with those of the model folder ``start``."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attention_dropout=0.0,
        model_name="Llama-Fate",  # what fate records as the writer; the folder is named otherwise
        fate_sampler={"best_of": 32, "max_new_tokens": 40, "min_new_tokens": 10},  # what suits it, see EXPERIMENTS.md
        window_without_start=True,  # trained so: a text that does not begin with the start token is from the middle
        attn_implementation="eager",  # compiled, it learns short rows 1.4 times as fast as the fused attention of CPUs
    )
    model = LlamaForCausalLM(config)
    if start is not None:
        try:
            model.load_state_dict(deepened(LlamaForCausalLM.from_pretrained(start, dtype=torch.float32), recipe.layers))
        except RuntimeError:
            raise SystemExit(f"{start} is not of the recipe's shape; give its shape with --set.") from None
    return model


@torch.no_grad()
def deepened(model: LlamaForCausalLM, layers: int) -> dict[str, torch.Tensor]:
    """The weights of a model of ``layers`` layers that computes what this one does.

    Every layer is followed by as many copies of itself as the new depth asks for. What a copy adds to the residual
    stream is nothing at first: the matrices that it writes with are zero, and learn (Chen et al., 2016,
    arXiv:1511.05641, and Wu et al., 2024, arXiv:2401.02415, for Llama).
    """
    have = model.config.num_hidden_layers
    sources = [i * have // layers for i in range(layers)] if layers > have else [*range(have)]
    model.model.layers = torch.nn.ModuleList(copy.deepcopy(model.model.layers[source]) for source in sources)
    for layer, source, before in zip(model.model.layers[1:], sources[1:], sources, strict=False):
        if source == before:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model.state_dict()


def optimizers(model: LlamaForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2] if recipe.lr_muon else []
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    decay = recipe.weight_decay
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(others, lr=recipe.lr_adamw, betas=(0.9, 0.95), weight_decay=decay)
    ]
    if matrices:
        found.insert(0, torch.optim.Muon(matrices, lr=recipe.lr_muon, weight_decay=decay, momentum=0.95))
    for optimizer in found:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return found


def story_mask(tokens: torch.Tensor, end: int, hidden: torch.Tensor | None = None) -> torch.Tensor:
    """What is added to the attention of rows of tokens, shape (rows, n), so that no story sees the one before it.

    Shape (rows, 1, n, n): 0 where a token looks at itself or at an earlier one of its story, minus infinity elsewhere
    (Zhao et al., 2024, arXiv:2402.13991). A story begins with the token ``end``. Tokens where ``hidden``, shape
    (rows, n), is true are seen by themselves alone.
    """
    story = (tokens == end).cumsum(1)
    seen = (story[:, :, None] == story[:, None, :]).tril()
    if hidden is not None:
        seen &= ~hidden[:, None, :] | torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
    return additive_mask(seen)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def train(
    recipe: Recipe,
    model: LlamaForCausalLM,
    teachers: Sequence[LlamaForCausalLM],
    tokens: dict[str, list[np.ndarray]],
    rename: Renaming,
    scene: Scenes,
    judged: Sequence[Judged],
    work: Path,
    compiled: bool,
) -> float:
    """Train the model in place; returns the seconds that it took, over all resumed runs.

    With teachers, a share of what it learns is what they predict in the mean, every token of the vocabulary with its
    probability, instead of the one that stands there (Hinton et al., 2015, arXiv:1503.02531; for little text,
    Timiryasov and Tastet, 2023, arXiv:2308.02019). Where a story begins in the middle of a scene they do not see the
    token before it: to those who never learnt such beginnings, ``END`` would be false.

    Of candidates that were ``judged`` it learns to prefer the better ones: in comparison with the model as it is given,
    or by their mean log-probability.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = arithmetic(device)
    model.to(device)
    for each in teachers:
        each.to(device, dtype)
    compares = recipe.preferred and not recipe.beta_mean
    before = copy.deepcopy(model).eval() if compares else model  # what a checkpoint holds is no longer as it was given
    steppers = optimizers(model, recipe)
    mean = {name: weights.detach().clone() for name, weights in model.named_parameters()}
    file, step, spent = work / "checkpoint.pt", 0, 0.0
    if file.exists():
        state = torch.load(file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(steppers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        mean = state["mean"]
        step, spent = state["step"], state["seconds"]
        print(f"resumed at step {step}", flush=True)

    end = model.config.eos_token_id

    def logits_of(reader: LlamaForCausalLM, tokens: torch.Tensor, mask: torch.Tensor, **given: Any) -> torch.Tensor:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            return reader(input_ids=tokens, attention_mask=mask.to(dtype), use_cache=False, **given).logits

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        middle, opened = rows == scene.middle, rows == scene.open
        rows = rows.masked_fill(middle | opened, end)
        read = rows[:, :-1]
        logits = logits_of(model, read, story_mask(read, end)).flatten(0, 1).float()
        losses = F.cross_entropy(logits, rows[:, 1:].flatten(), reduction="none")
        if teachers:
            with torch.no_grad():
                theirs = [logits_of(each, read, story_mask(read, end, hidden=middle[:, :-1])) for each in teachers]
                predicted = torch.stack(theirs).flatten(1, 2).float().softmax(-1).mean(0)
            losses = losses.lerp(F.cross_entropy(logits, predicted, reduction="none"), recipe.taught)
        counted = (~(opened[:, :-1] | opened[:, 1:])).flatten().float()
        return losses @ counted / counted.sum()

    def loss_of_piece(
        read: torch.Tensor,
        predicted: torch.Tensor,
        place: torch.Tensor,
        group: torch.Tensor,
        slot: torch.Tensor,
        better: torch.Tensor,
    ) -> torch.Tensor:
        mask = piece_mask(group, slot)
        ours = log_probabilities(logits_of(model, read, mask, position_ids=place), predicted, slot)
        if recipe.beta_mean:
            return preference_loss(recipe.beta_mean * ours / lengths(slot), better)
        with torch.no_grad():
            theirs = log_probabilities(logits_of(before, read, mask, position_ids=place), predicted, slot)
        return preference_loss(recipe.beta * (ours - theirs), better)

    if compiled:
        loss_of = torch.compile(loss_of, dynamic=False)
        loss_of_piece = torch.compile(loss_of_piece, dynamic=False)
    compared, each_step = iter(()), 0
    if recipe.preferred:
        height, each_step = recipe.piece // recipe.context, recipe.judged // recipe.piece
        compared = pieces(judged, height, recipe.context, recipe.seed)
        compared = itertools.islice(compared, step * each_step, None)
    began, mark, first, running = time.monotonic(), time.monotonic(), step, 0.0
    for rows in itertools.islice(batches(recipe, tokens, rename, scene, step), recipe.steps - step):
        value = 0.0
        every = torch.from_numpy(rows.astype(np.int64)).to(device)
        for some in every.split(max(1, recipe.piece // (rows.shape[1] - 1))):
            loss = loss_of(some) * (len(some) / len(rows))
            loss.backward()
            value += loss.item()
        for piece in itertools.islice(compared, each_step):
            given = {name: torch.from_numpy(each).to(device) for name, each in vars(piece).items()}
            loss = loss_of_piece(**given) * (recipe.preferred / each_step)
            loss.backward()
            value += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in steppers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * recipe.rate(step)
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            for name, weights in model.named_parameters():
                mean[name].lerp_(weights, max(1 / recipe.horizon, 1 / (step + 1)))
        running = value if step == first else 0.98 * running + 0.02 * value
        step += 1
        if step % 20 == 0 or step == recipe.steps:
            now = time.monotonic()
            speed = (step - first) * recipe.batch / (now - began)
            left = (recipe.steps - step) * recipe.batch / speed
            print(
                f"step {step}/{recipe.steps}  loss {running:.3f}  {speed:,.0f} tokens/s  {left / 60:.0f} min left",
                flush=True,
            )
        if time.monotonic() - mark > 180 or step == recipe.steps:
            mark = time.monotonic()
            state = {
                "model": model.state_dict(),
                "mean": mean,
                "optimizers": [o.state_dict() for o in steppers],
                "step": step,
                "seconds": spent + mark - began,
            }
            save_checkpoint(file, state)
            # The checkpoint before the learning rate falls is kept: a longer run can start from it.
            if recipe.rate(step) == 1.0:
                save_checkpoint(work / "flat.pt", state)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.copy_(mean[name])
    return spent + time.monotonic() - began


# --- measuring ------------------------------------------------------------------------------------


@torch.no_grad()
def bits_per_byte(model: Any, tokenizer: Any, stories: list[str], context: int) -> float:
    """Mean bits a model spends on one UTF-8 byte of the stories' text.

    Each story is read from its beginning, after the model's start token (or its end token, where it
    has no other). A longer story than the context is read in windows that overlap by half, and a
    token counts only in the first window that holds it. The end of a story is not counted.
    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    nats, size = 0.0, 0
    for story in stories:
        ids = [start, *tokenizer(story, add_special_tokens=False)["input_ids"]]
        size += len(story.encode())
        done = 1  # tokens that have been counted; the start token is given
        while done < len(ids):
            begin = max(0, done - context // 2) if done > 1 else 0
            window = torch.tensor([ids[begin : begin + context]], device=model.device)
            logits = model(input_ids=window, use_cache=False).logits[0, done - begin - 1 : -1].float()
            nats += F.cross_entropy(logits, window[0, done - begin :], reduction="sum").item()
            done = begin + window.shape[1]
    return nats / math.log(2) / size


def evaluate(folder: str, text: Path) -> float:
    """Bits per byte of a model, in a folder or on the hub, on the stories of a text file."""
    if not text.is_file() or not (stories := read_stories(text)):
        raise SystemExit(f"{text} holds no story; give a text file with a line {END} after each.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    except OSError as error:
        raise SystemExit(f"{folder} cannot be read as a model: {str(error).splitlines()[0]}") from None
    context = min(getattr(model.config, "max_position_embeddings", None) or 1024, 1024)
    return bits_per_byte(model, tokenizer, stories, context)


def recipe_with(changes: Sequence[str], parser: argparse.ArgumentParser) -> Recipe:
    """The recipe with other values: of its fields, or of the weight of a source."""
    numbers = {f.name: type(f.default) for f in fields(Recipe) if isinstance(f.default, int | float)}
    del numbers["origin"]  # the number of another run; --start is for one alone
    values: dict[str, Any] = {}
    weights = WEIGHTS.copy()
    for change in changes:
        name, _, value = change.partition("=")
        try:
            if name in WEIGHTS:
                weights[name] = float(value)
            else:
                values[name] = numbers[name](value)
        except (KeyError, ValueError):
            parser.error(f"--set {change}: give a number to one of {', '.join([*numbers, *WEIGHTS])}")
    return Recipe(**values, weights=weights)


def run(
    recipe: Recipe,
    corpus: dict[str, list[str]],
    start: Path | None,
    other: Path | None,
    teachers: Sequence[Path],
    work: Path,
    out: Path,
    compiled: bool,
) -> None:
    """Train a model, write it to the folder ``out`` and print its bits per byte on what was held out of its sources.

    It goes on from the model ``start``, if there is one. Written is a mean of what it learnt and the weights of
    ``other``, if there is one, by ``Recipe.kept``.
    """
    work.mkdir(parents=True, exist_ok=True)
    seen = {name: stories for name, stories in corpus.items() if recipe.weights.get(name, 1.0)}
    if (work / "tokenizer.json").exists():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(work)
    elif start:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
    else:
        tokenizer = train_tokenizer(seen, recipe.vocabulary)
    tokenizer.save_pretrained(work)
    model = new_model(recipe, tokenizer, start)
    kept = dict(new_model(recipe, tokenizer, other).named_parameters()) if other else {}
    tokens = encode(seen, tokenizer)
    vocabulary = tokenizer.get_vocab()
    rename, scene = Renaming(tokens, vocabulary, recipe.renamed), Scenes(vocabulary, recipe.scenes, recipe.rest)
    taught_by = [LlamaForCausalLM.from_pretrained(t, dtype=torch.float32).eval() for t in teachers]
    judged = []
    if recipe.preferred:
        judged = read_preferences(PREFERENCES, tokenizer, recipe.rounds, recipe.worn, recipe.since, recipe.phrase)
    seconds = train(recipe, model, taught_by, tokens, rename, scene, judged, work, compiled)
    with torch.no_grad():
        for name, weights in kept.items():
            learnt = model.get_parameter(name)
            learnt.lerp_(weights.to(learnt.device), recipe.kept)
        model.model.norm.weight.div_(recipe.temperature)  # and so the logits: their products with the embedding

    model = model.eval().to(torch.float16)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    model = model.float()
    result = {
        name: round(bits_per_byte(model, tokenizer, measured, recipe.context), 4)
        for name, stories in seen.items()
        if (measured := [story for story in stories if held_out(story)])
    }
    print(json.dumps({"tokens": recipe.tokens, "minutes": round(seconds / 60), "bits_per_byte": result}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="folder of story text to train on")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="model folder to write (default: here)")
    parser.add_argument("--work", type=Path, default=Path("build/storyteller"), help="folder of checkpoints")
    parser.add_argument("--start", type=Path, help="model folder whose weights to go on from (default: random weights)")
    parser.add_argument(
        "--teacher", type=Path, action="append", default=[], help="model folder to learn from, of the same vocabulary"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one run only, with another value in the recipe, or another weight of a source",
    )
    parser.add_argument(
        "--rehearse", type=Path, metavar="FOLDER", help="all runs with one token in 200, in a folder apart"
    )
    parser.add_argument("--no-compile", action="store_true", help="run eagerly, without torch.compile")
    parser.add_argument("--evaluate", nargs=2, metavar=("FOLDER", "TEXT"), help="print a model's bits per byte")
    arguments = parser.parse_args()
    if arguments.evaluate:
        folder, text = arguments.evaluate
        print(f"{evaluate(folder, Path(text)):.4f} bits per byte")
        return
    if arguments.corpus is None:
        parser.error("give the folder of the story text, or --evaluate FOLDER TEXT")

    own = read_stories(Path(__file__).with_name(f"{TYPED}.txt.gz"))
    corpus, start = read_corpus(arguments.corpus) | {TYPED: own}, arguments.start
    if arguments.set or start or arguments.teacher:
        if arguments.rehearse:
            parser.error("--rehearse is for all runs; leave out --set, --start and --teacher")
        recipe = recipe_with(arguments.set, parser)
        if recipe.preferred and not start:
            parser.error("a run that learns from judged candidates goes on from a model: give --start FOLDER")
        if recipe.preferred and not recipe.context <= recipe.piece <= recipe.judged:
            parser.error("judged must be at least piece, and piece at least context")
        if bool(arguments.teacher) != (recipe.taught > 0):
            parser.error("a run with --teacher needs --set taught=SHARE, and one with a share taught needs a --teacher")
        run(recipe, corpus, start, start, arguments.teacher, arguments.work, arguments.out, not arguments.no_compile)
        return
    runs, work, final = RUNS, arguments.work, arguments.out
    if arguments.rehearse:
        runs = tuple(replace(recipe, tokens=max(recipe.batch, recipe.tokens // 200)) for recipe in RUNS)
        corpus = {name: few_held_out(stories) for name, stories in corpus.items()}
        work, final = arguments.rehearse / "work", arguments.rehearse
    works = [work / str(number) for number in range(1, len(runs) + 1)]
    folders = [*(work / "model" for work in works[:-1]), final]
    before = None
    for recipe, work, out in zip(runs, works, folders, strict=True):
        start = folders[recipe.origin - 1] if recipe.origin else before
        teachers = [folders[number - 1] for number in recipe.teachers]
        run(recipe, corpus, start, before, teachers, work, out, not arguments.no_compile)
        before = out


if __name__ == "__main__":
    main()
