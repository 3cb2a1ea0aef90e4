"""What the shared suites can't know about SimpleCNN: the size and cost that the notes give."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.models.convnets.simplecnn import SimpleCNN


def test_size_of_the_notes():
    assert sum(p.numel() for p in SimpleCNN().parameters()) == 10_890


def test_cost_of_the_notes():
    """5.00 million multiply-adds for a batch of 64, of which the notes count those of the convolutions and linear layers."""
    model = SimpleCNN().eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(64, 1, 28, 28))
    convolutions = 64 * (26 * 26 * 4 * 9 + 11 * 11 * 8 * 36 + 3 * 3 * 8 * 72)
    assert counter.get_total_flops() == 2 * (convolutions + 64 * (72 * 120 + 120 * 10))


def test_stages_have_the_documented_shapes():
    stages = SimpleCNN().features(torch.zeros(2, 1, 28, 28))
    shapes = {name: list(value.shape[1:]) for name, value in stages.items()}
    assert shapes == {"stage1": [4, 13, 13], "stage2": [8, 5, 5], "stage3": [8, 3, 3], "embedding": [120]}
