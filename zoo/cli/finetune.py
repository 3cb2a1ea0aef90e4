"""Fine-tune a model of the zoo on your own data."""


def main(argv: list[str]) -> int:
    from zoo.train.finetuning_command import main as run

    return run(argv)
