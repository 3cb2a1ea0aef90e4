"""Several prompts at once against each alone: unlike lengths, full windows, both kinds of state."""

import pytest
import torch

import zoo
from zoo.errors import InputError

SMALL = {
    "gpt": {"vocab_size": 20, "context": 12, "layers": 2, "heads": 2, "width": 16},
    "char-rnn": {"vocab_size": 20, "width": 16},
}
PROMPTS = ["A", "BAD", "CABBAGE", "A", "DEAFENED" * 3]  # the last one is longer than gpt's context


def make(name: str):
    torch.manual_seed(0)
    model = zoo.create(name, **SMALL[name]).double()  # no rounding may decide between two characters
    for parameter in model.parameters():
        parameter.data.mul_(3)  # fresh weights hardly prefer any character
    model.classes = [chr(ord("A") + i) for i in range(20)]
    return model


@pytest.mark.filterwarnings("ignore:the prompt has")
@pytest.mark.parametrize("options", [{"temperature": 0}, {"seed": 3}, {"top_k": 4, "seed": 1}, {"beams": 2}])
@pytest.mark.parametrize("name", SMALL)
def test_a_list_of_prompts_is_continued_as_each_alone(name, options):
    model, n = make(name), 8 if "beams" in options else 30  # 30 fill gpt's window several times
    together = model.generate(PROMPTS, n, **options)
    assert together == [model.generate(prompt, n, **options) for prompt in PROMPTS]
    assert together[0] == together[3] and len(set(together)) > 1 and {len(text) for text in together} == {n}


@pytest.mark.parametrize("name", SMALL)
def test_no_prompt_gives_none_and_a_bad_one_is_named(name):
    model = make(name)
    assert model.generate([], 5) == []
    for bad in ([""], ["A", "é"], ["A", 3]):
        with pytest.raises(InputError):
            model.generate(bad, 5)
    with pytest.raises(InputError, match="at least 1"):
        model.generate(["A"], 0)
