"""Publish checkpoints on the Hugging Face Hub."""


def main(argv: list[str]) -> int:
    from zoo.store.publishing import main as run

    return run(argv)
