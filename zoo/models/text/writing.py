"""How a character model writes: character by character, several texts side by side, or the likeliest text by beam search.

`model` is a `CausalLM`: `step(tokens, state)` reads on from a state, `rows(state, index)` picks rows of one, and `context` is the
number of characters that it sees at most.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from datamodules.formats.characters import decode
from zoo.core.checks import check_count, seeded_generator
from zoo.core.verbs import looking, verb
from zoo.errors import InputError
from zoo.models.text.beam import beam_search
from zoo.models.text.sampling import Choice


def stream(model: Any, seen: list[int], n: int, choice: Choice, generator: torch.Generator) -> Iterator[str]:
    """The n characters after the tokens `seen`, each as soon as it is drawn."""
    characters = model.characters
    state, new = None, list(seen)
    for _ in range(n):
        with looking(model):
            logits, state = model.step(torch.tensor([new], device=model.device), state)
        token = choice.draw(logits[0, -1], generator)
        yield characters[token]
        new = [token]
        seen.append(token)
        if model.context and len(seen) > model.context:
            # a full window starts again from its last three quarters: read once a quarter, not once a character
            del seen[: len(seen) - (model.context - model.context // 4)]
            state, new = None, list(seen)


@verb
def together(model: Any, prompts: list[list[int]], n: int, choice: Choice, seed: int | None) -> list[str]:
    """What `stream` gives for each prompt, all of them read and written side by side.

    All are read up to the end of the shortest; from there on a longer one goes on reading where a shorter one already writes.
    """
    if not prompts:
        return []
    generators = [seeded_generator(torch.device("cpu"), seed) for _ in prompts]
    seen = [list(prompt) for prompt in prompts]  # of each: what was read and written so far, and is still to be read
    read = min(len(prompt) for prompt in prompts)
    new, state = [tokens[:read] for tokens in seen], None
    written: list[list[int]] = [[] for _ in prompts]
    while True:
        logits, state = model.step(torch.tensor(new, device=model.device), state)
        for i, tokens in enumerate(seen):
            if len(tokens) == read and len(written[i]) < n:
                written[i].append(choice.draw(logits[i, -1], generators[i]))
            if len(tokens) == read:  # one that is finished repeats its last character until all are
                tokens.append(written[i][-1])
        if all(len(tokens) == n for tokens in written):
            return [decode(tokens, model.characters) for tokens in written]
        read += 1
        new = [tokens[read - 1 : read] for tokens in seen]
        if model.context and read > model.context:  # as in `stream`; what is still to be read stays
            gone = read - (model.context - model.context // 4)
            seen, read = [tokens[gone:] for tokens in seen], read - gone
            state, new = None, [tokens[:read] for tokens in seen]


@verb
def likeliest(model: Any, prompt: str, n: int, beams: int) -> str:
    """What beam search finds; a model with a context holds prompt and text in it."""
    if model.context and check_count(n) >= model.context:
        raise InputError(f"beams look at {model.context} characters at most, prompt and text together: n can't be {n}")
    tokens = model.prompt_tokens(prompt, model.context - n if model.context else None).to(model.device)
    state = model.step(tokens[None, :-1])[1] if len(tokens) > 1 else None

    def step(newest: Tensor, state: Any) -> tuple[Tensor, Any]:
        logits, state = model.step(newest[:, None].to(model.device), state)
        return logits[:, -1].float().log_softmax(1), state

    found = beam_search(
        step, state, start=int(tokens[-1]), end=-1, beams=beams, length=n, penalty=0.0, reorder=model.rows
    )
    return decode(found[0][0], model.characters)
