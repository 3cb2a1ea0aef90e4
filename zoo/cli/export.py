"""Write a model for other tools: ONNX, torch.export's program, or plain float32 safetensors."""

import argparse
from pathlib import Path

import zoo


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("--to", choices=("onnx", "pt2", "safetensors"), default="onnx")
    command.add_argument("-o", "--output", type=Path, help="the file; NAME and its suffix by default")


def run(options: argparse.Namespace) -> None:
    from zoo.store.export import export

    path, deviation = export(zoo.load(options.name), options.to, options.output)
    print(f"{path}: its outputs are the model's (largest deviation {deviation:.1e})")
