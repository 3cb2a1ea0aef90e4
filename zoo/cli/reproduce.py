"""Retrain a checkpoint from its recipe and compare with what is published."""


def main(argv: list[str]) -> int:
    from zoo.train.reproduce import main as run

    return run(argv)
