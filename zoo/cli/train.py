"""Train a model by its recipe, evaluate the exported file, and publish it as a checkpoint folder."""


def main(argv: list[str]) -> int:
    from zoo.train.experiment import main as run

    return run(argv)
