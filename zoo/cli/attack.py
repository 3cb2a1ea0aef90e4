"""Change an image so little that nobody notices, and so that the model takes it for another class.

zoo attack resnet20-cifar10 photo.png --method pgd --epsilon 8 -o attacked.png
"""

import argparse
from pathlib import Path

import zoo


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("file", help="an image file")
    command.add_argument("--method", default="fgsm", help="fgsm, pgd or one-pixel; default: fgsm")
    command.add_argument(
        "--epsilon", type=float, default=8, help="the largest change of a pixel, in 255ths; default: 8"
    )
    command.add_argument("--target", help="a class to aim at; by default any other")
    command.add_argument("--steps", type=int, default=20, help="of pgd, or generations of the search for a pixel")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "-o", "--output", type=Path, default=Path("attack.png"), help="original, perturbation and attacked image"
    )


def run(options: argparse.Namespace) -> None:
    from zoo.cli.explain import as_number
    from zoo.explain.attacks import attack
    from zoo.explain.explanation import check_output

    check_output(options.output)
    found = attack(
        zoo.load(options.name),
        options.file,
        options.method,
        epsilon=options.epsilon,
        target=as_number(options.target),
        steps=options.steps,
        seed=options.seed,
    )
    (before, p), (after, q) = found.before, found.after
    print(f"{before} {p:.3f} → {after} {q:.3f}: {'the attack succeeded' if found.success else 'the attack failed'}")
    print(found.save(options.output))
