"""AlphaZero: its verbs, its loss, and what the published agents must do."""

import lightning as L
import numpy as np
import pytest
import torch
from torch.nn import functional as F

import zoo
from datamodules.board_games import board_game
from zoo.errors import InputError
from zoo.models.rl.board_pictures import board_text, landing
from zoo.models.rl.matches import all_lines, contest, opponent, optimal_share
from zoo.models.rl.solver import undecided
from zoo.models.rl.terminal import play_in_terminal
from zoo.paths import CHECKPOINTS

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
TINY = {"width": 4, "blocks": 1, "simulations": 12, "train_simulations": 6}


def small(game: str = "connect4", **init):
    torch.manual_seed(0)
    return zoo.create("alphazero", game=game, **{**TINY, **init})


def published(name: str):
    if not (CHECKPOINTS / name / "config.json").is_file():
        pytest.skip(f"{name} isn't trained here")
    return zoo.load(name)


def attack() -> np.ndarray:
    board = np.zeros((6, 7), np.int8)
    board[5, :3], board[4, :2] = 1, -1
    return board


def test_act_takes_a_win_blocks_one_and_is_always_the_same():
    agent = small(simulations=60)
    assert agent.act(attack()) == 3 and agent.act(-attack()) == 3
    for board in (attack().tolist(), torch.tensor(attack()), attack().astype(np.float64)):
        assert agent.act(board) == 3 and isinstance(agent.act(board), int)
    empty = np.zeros((6, 7), np.int8)
    assert len({agent.act(empty) for _ in range(3)}) == 1
    drawn = [agent.act(empty, greedy=False, seed=seed) for seed in range(8)]
    assert len(set(drawn)) > 1 and drawn == [agent.act(empty, greedy=False, seed=seed) for seed in range(8)]


def test_a_batch_of_boards_gets_a_batch_of_moves():
    agent, game = small(), board_game("connect4")
    boards = game.boards(*(np.array(side) for side in zip(*[(0, 0), (1, 128)], strict=True)))
    moves = agent.act(boards)
    assert moves.shape == (2,) and moves.tolist() == [agent.act(board) for board in boards]
    assert isinstance(agent.act(torch.from_numpy(boards)), torch.Tensor)
    assert agent.policy(boards).shape == agent.values(boards).shape == (2, 7)


@pytest.mark.parametrize("simulations", [0, None, 3])
def test_policies_are_probabilities_of_legal_moves_and_values_are_those_of_moves(simulations):
    agent, board = small(), np.zeros((6, 7), np.int8)
    board[:, 2] = [1, -1, 1, -1, 1, -1]
    policy, values = agent.policy(board, simulations), agent.values(board, simulations)
    assert policy.sum() == pytest.approx(1) and policy[2] == 0 and (policy >= 0).all()
    assert values.isnan().tolist() == [action == 2 for action in range(7)]
    assert (values.nan_to_num().abs() <= 1).all()
    assert agent.values(attack(), simulations)[3] == 1  # the rules, not the network, say that it wins


def test_the_network_sees_own_and_other_stones_as_two_planes():
    agent, board = small(), torch.from_numpy(attack()).float()
    with torch.no_grad():
        mine, theirs = agent(torch.stack([board, -board]))[0]
    assert not torch.equal(mine, theirs)
    assert torch.equal(agent(board[None].to(torch.int8))[0], agent(board[None])[0])


def test_the_loss_is_the_papers():
    agent = small()
    agent.log_train = lambda **_: None  # type: ignore[method-assign]
    boards, policy = torch.stack([torch.zeros(6, 7), torch.from_numpy(attack()).float()]), torch.rand(2, 7).softmax(1)
    target = torch.tensor([0.5, -1.0])
    logits, value = agent(boards)
    by_hand = -(policy * (logits - logits.logsumexp(1, keepdim=True))).sum(1) + (target - value) ** 2
    torch.testing.assert_close(agent.training_step((boards, policy, target), 0), by_hand.mean())
    F.mse_loss(value, target).backward()
    assert agent.net.value[0].weight.grad.any() and agent.net.policy.weight.grad is None


def test_boards_that_cannot_be_played_on_are_refused():
    agent = small()
    over, full = np.zeros((6, 7), int), np.ones((6, 7), int)
    over[5, :4] = -1
    full[1::2] = -1
    full[:, ::2] *= -1
    full[2:4] *= -1
    nan = np.full((6, 7), np.nan)
    for board, words in (
        (over, "over"),
        (-over, "over"),
        (full, "over"),
        (nan, "nan"),
        (np.zeros((3, 3)), r"\[6, 7\]"),
    ):
        for verb in (agent.act, agent.policy, agent.values):
            with pytest.raises(InputError, match=words):
                verb(board)
    with pytest.raises(InputError, match="empty"):
        agent.act(np.zeros((0, 6, 7)))
    with pytest.raises(InputError, match="simulations"):
        agent.policy(attack(), -3)
    for wrong in (
        {"episodes": 0},
        {"against": "chess"},
        {"env": "CartPole-v1"},
        {"path": "game.txt"},
        {"path": "/no/x.gif"},
    ):
        with pytest.raises(InputError):
            agent.play(**wrong)


def test_play_gives_results_lengths_and_pictures(tmp_path):
    from PIL import Image

    agent = small("tictactoe")
    played = agent.play(6, seed=1, against="random")
    assert played.shape == (6,) and set(played.tolist()) <= {-1.0, 0.0, 1.0}
    assert ((played.lengths >= 5) & (played.lengths <= 9)).all()
    assert played.tolist() == agent.play(6, seed=1, against="random").tolist()
    game = agent.play(path=tmp_path / "game.gif")
    with Image.open(tmp_path / "game.gif") as picture:
        assert picture.n_frames >= game.lengths[0] and game.path == tmp_path / "game.gif"
    agent.play(path=tmp_path / "game.png", against="perfect")
    assert (tmp_path / "game.png").stat().st_size < 200_000


def test_results_are_the_players_own():
    """A player who wins in every game, whichever colour: the stronger search against chance."""
    game = board_game("connect4")
    results, _ = contest(game, opponent("mcts:40", game, 0), opponent("random", game, 1), 6)
    mirrored, _ = contest(game, opponent("random", game, 1), opponent("mcts:40", game, 0), 6)
    assert results.mean() > 0.7 and mirrored.mean() < -0.7


def test_pictures_and_texts_show_where_a_stone_lands():
    game, board = board_game("connect4"), attack()
    assert landing(game, board) == {0: (3, 0), 1: (3, 1), 2: (4, 2), 3: (5, 3), 4: (5, 4), 5: (5, 5), 6: (5, 6)}
    assert board_text(game, -board).splitlines()[-2:] == ["X X X . . . .", "0 1 2 3 4 5 6"]  # O is to move
    assert board_text(board_game("tictactoe"), np.eye(3) - np.eye(3)[::-1]).splitlines()[0] == "X 1 O"


def test_a_person_plays_in_the_terminal():
    agent, said = small("tictactoe"), []
    answers = iter(["9", "x", "4", "4", "q"])
    assert play_in_terminal(agent, ask=lambda _: next(answers), say=said.append) is None
    assert any("0 … 8" in line for line in said[1:]) and "The cell 4 is full." in said
    assert any(line.startswith("It takes cell") for line in said)

    def first_free(_: str) -> str:
        return next(cell for cell in "012345678" if cell in said[-1])

    assert play_in_terminal(agent, begin=False, ask=first_free, say=said.append) in (-1.0, 0.0, 1.0)

    def leaves(_: str) -> str:
        raise EOFError

    assert play_in_terminal(agent, ask=leaves, say=said.append) is None


def test_a_stopped_run_goes_on_bit_equal(tmp_path):
    def trainer(epochs: int) -> L.Trainer:
        return L.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=tmp_path, **QUIET)

    def data():
        return zoo.datamodule("self-play", game="tictactoe", batch_size=16, games=4, plies=5, steps=3, window=40)

    whole = small("tictactoe")
    trainer(4).fit(whole, datamodule=data())
    first, cut = trainer(2), small("tictactoe")
    first.fit(cut, datamodule=data())
    first.save_checkpoint(tmp_path / "last.ckpt")
    torch.manual_seed(99)
    rest = zoo.create("alphazero", game="tictactoe", **TINY)
    trainer(4).fit(rest, datamodule=data(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[key]), key
    assert not torch.equal(whole.net.stem.weight, cut.net.stem.weight)


# The published agents ------------------------------------------------------------------------------------------------


def test_tictactoe_loses_no_line_whatever_the_opponent_plays():
    agent, game = published("alphazero-tictactoe"), board_game("tictactoe")

    def player(own, other):
        return agent.act(game.boards(own, other))

    for begins, games in ((True, 9 * 7 * 5), (False, 9 * 8 * 6)):  # at least the replies of the opponent's first plies
        ends = all_lines(game, player, begins)
        assert ends["lost"] == 0 and sum(ends.values()) > games / 10 and ends["won"] > 0


def test_connect4_beats_chance_and_plays_well_near_the_end_with_a_sixth_of_its_visits(monkeypatch):
    agent, game = published("alphazero-connect4"), board_game("connect4")
    monkeypatch.setitem(agent.hparams, "simulations", 100)
    own, other, values = undecided(game, 40, 18, seed=7)
    assert optimal_share(values, agent.act(game.boards(own, other))) >= 0.9
    assert (agent.play(6, against="random") == 1).all()
