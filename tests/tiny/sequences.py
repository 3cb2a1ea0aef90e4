"""What reads, writes, listens or moves in time."""

from tests.batches import (
    characters,
    chorales,
    images,
    labelled_texts,
    sentence_pairs,
    swings,
    two_voices,
    wave,
    word_pairs,
)
from tests.tiny.case import DIGITS, Tiny

TINY: dict[str, Tiny] = {
    "attention-seq2seq": Tiny(
        {"vocab_size": 300, "width": 24, "embedding": 16, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=2e-2,
    ),
    "seq2seq": Tiny(
        {"vocab_size": 300, "width": 24, "embedding": 16, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=2e-2,
    ),
    "char-rnn": Tiny(
        {"width": 24, "embedding": 12, "kind": "lstm"},
        characters(),
        data="tinyshakespeare",
        data_init={"batch_size": 4, "context": 16, "reading": "streams"},
        lr=2e-2,
    ),
    "name-rnn": Tiny({"width": 24, "embedding": 12}, characters(vocab_size=27), data="first-names", lr=2e-2),
    "performance-rnn": Tiny(
        {"width": 32, "layers": 1, "embedding": 16},
        characters(vocab_size=413),
        data="chorale-events",
        data_init={"batch_size": 4, "context": 32},
        lr=2e-2,
    ),
    "piano-roll-rnn": Tiny(
        {"width": 24}, chorales, data="jsb-chorales", data_init={"batch_size": 4, "shift": 3}, lr=2e-2
    ),
    "rnn-classifier": Tiny(
        {"num_classes": 18, "vocab_size": 82, "unit": "character", "embedding": 8, "width": 12},
        labelled_texts,
        data="names",
        data_init={"batch_size": 8},
        lr=1e-2,
    ),
    "transformer": Tiny(
        {"vocab_size": 300, "width": 16, "layers": 2, "heads": 2, "inner": 24, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=1e-2,
    ),
    "gpt": Tiny(
        {"context": 16, "layers": 2, "heads": 2, "width": 24, "qk_norm": True, "tied": False},
        characters(),
        data="tinyshakespeare",
        data_init={"batch_size": 4, "context": 16},
        lr=1e-2,
    ),
    "music-transformer": Tiny(
        {"width": 24, "layers": 2, "heads": 2, "reach": 20},
        chorales,
        data="jsb-chorales",
        data_init={"batch_size": 4, "shift": 3},
        lr=1e-2,
    ),
    "bert": Tiny(
        {"vocab_size": 600, "context": 16, "layers": 2, "heads": 2, "width": 24},
        characters(vocab_size=600),
        data="gutenberg-pieces",
        data_init={"batch_size": 4, "context": 16, "vocab_size": 600, "novels": ["Pride and Prejudice"]},
        overfits=0.8,  # other places are hidden in every step
        lr=1e-2,
    ),
    "vit": Tiny(
        {"in_channels": 1, "image_size": 28, "patch": 14, "dim": 16, "depth": 2, "heads": 2, "mlp_dim": 16},
        images(),
        data="mnist",
    ),
    "word2vec": Tiny(
        {"vocab_size": 10_831, "dim": 8, "negatives": 2},
        word_pairs,
        data="gutenberg",
        data_init={"batch_size": 32},
        overfits=0.75,  # two of its three logarithms are of words drawn anew in every step
        lr=3e-2,
    ),
    "gated-nested-unet-separation": Tiny({"widths": [8, 8, 8]}, two_voices, overfits=0.8),
    "unet-separation": Tiny({"widths": [8, 8, 8]}, two_voices, overfits=0.8),
    "esn": Tiny({"units": 20}, wave, data="mackey-glass", data_init={"train_size": 300}),
    "neural-ode": Tiny({"hidden": [16]}, swings, data="pendulum", data_init={"trajectories": 2}, lr=1e-2),
    "neural-ode-classifier": Tiny({"width": 8}, **DIGITS, lr=1e-2),
}
