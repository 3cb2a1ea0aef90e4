"""Write every model card, MODEL_CARDS.md and the index from the checkpoint folders."""


def main(argv: list[str]) -> int:
    from zoo.store.generate import main as run

    return run(argv)
