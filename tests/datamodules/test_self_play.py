"""Self-play as a data set: targets, windows, openings, symmetries and what is kept between epochs."""

import numpy as np
import pytest

from datamodules.self_play import Collection, SelfPlay
from zoo.errors import InputError


class Stub:
    """An agent that always prefers the lowest legal move and says 0.25 of every position."""

    def __init__(self, data: SelfPlay) -> None:
        self.rules = data.rules

    def on_self_play_start(self) -> None:
        pass

    def behave(self, own, other, rng):
        legal = self.rules.legal(own, other)
        return np.eye(self.rules.actions, dtype=np.float32)[legal.argmax(1)], np.full(len(own), 0.25, np.float32)


def collected(**settings) -> Collection:
    data = SelfPlay("tictactoe", **{"batch_size": 2, "games": 1, "plies": 7, "random_games": 0.0, **settings})
    collection = Collection(data)
    collection.play(Stub(data), np.random.default_rng(0))
    return collection


def test_targets_change_sign_at_every_ply_and_mix_the_search_in():
    """Cells 0, 1, 2, … in turn: the first player holds 0, 2, 4, 6 after seven plies and wins by the diagonal 2-4-6."""
    boards, policies, targets = collected(outcome_share=1.0).seen
    assert targets.tolist() == [1, -1, 1, -1, 1, -1, 1]
    assert policies.argmax(1).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert boards[3].tolist() == [-1, 1, -1, 0, 0, 0, 0, 0, 0]  # seen by the second player
    mixed = collected(outcome_share=0.5).seen[2]
    np.testing.assert_allclose(mixed, 0.5 * targets + 0.5 * 0.25)


def test_the_window_keeps_the_latest_positions():
    collection = collected(window=5, outcome_share=1.0)
    assert len(collection.seen[0]) == 5 and collection.seen[1].argmax(1).tolist() == [2, 3, 4, 5, 6]


def test_a_first_epoch_plays_until_there_is_a_batch():
    collection = collected(batch_size=20, plies=1)
    assert len(collection.seen[0]) >= 20
    boards, policies, targets = collection.draw(np.random.default_rng(0))
    assert boards.shape == (20, 3, 3) and policies.shape == (20, 9) and targets.shape == (20,)


def test_a_batch_turns_board_and_policy_together():
    collection = collected(batch_size=200, window=300, plies=300, outcome_share=1.0)
    boards, policies, _ = collection.draw(np.random.default_rng(1))
    assert len(np.unique(boards.reshape(200, 9), axis=0)) > 20  # the one game has seven positions
    assert (
        np.take_along_axis(boards.reshape(200, 9), policies.argmax(1)[:, None], 1) == 0
    ).all()  # moves to free cells


def test_random_openings_are_never_decided_and_of_the_asked_length():
    collection = collected(games=400, random_games=1.0, random_plies=6, plies=1, batch_size=1)
    plies = (collection.boards[:, 0] != 0).sum(1)
    assert set(plies.tolist()) == {1, 2, 3, 4, 5, 6}
    assert not collection.rules.outcome(collection.own, collection.other)[0][collection.ply > 0].any()


def test_a_restored_collection_goes_on_with_the_same_games():
    data = SelfPlay("connect4", 8, games=4, plies=9)
    one = Collection(data)
    one.play(Stub(data), np.random.default_rng(0))
    two = Collection(data, one.state())
    for collection in (one, two):
        collection.play(Stub(data), np.random.default_rng(1))
    for a, b in zip(one.seen, two.seen, strict=True):
        assert np.array_equal(a, b) and len(a)
    assert np.array_equal(one.own, two.own) and np.array_equal(one.ply, two.ply)


@pytest.mark.parametrize(
    "wrong",
    [{"games": 0}, {"window": 3}, {"random_games": 1.5}, {"outcome_share": -0.1}, {"steps": 0}, {"random_plies": 0}],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        SelfPlay("tictactoe", **{"batch_size": 64, **wrong})
    with pytest.raises(LookupError, match="tictactoe"):
        SelfPlay("tictacto")
