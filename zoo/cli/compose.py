"""Write music to a MIDI file, the primer first where there is one."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("-n", type=int, default=64, help="number of steps")
    command.add_argument("-o", "--output", type=Path, default=Path("piece.mid"))
    command.add_argument("--primer", type=Path, help="a MIDI file of this program to go on from")
    command.add_argument("--temperature", type=float, default=1.0, help="0 takes the likeliest each time")
    command.add_argument("--seed", type=int, default=0)


def run(options: argparse.Namespace) -> None:
    from zoo.core.files import check_output
    from zoo.core.protocols import Composes, meets

    check_output(options.output, (".mid", ".midi"))
    model: Any = zoo.load(options.name)
    if not meets(model, Composes):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't write music")
    import torch

    from datamodules.formats.midi import read_midi, write_midi

    primer = None if options.primer is None else read_midi(options.primer)
    roll = model.compose(options.n, primer=primer, temperature=options.temperature, seed=options.seed)
    print(write_midi(roll if primer is None else torch.cat([primer, roll]), options.output))
