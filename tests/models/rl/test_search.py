"""The search over many trees, against one that walks a single tree in plain Python, and against exact values."""

import math

import numpy as np
import pytest

from datamodules.board_games import GAMES, board_game
from zoo.models.rl.search import Forest, classical, puct
from zoo.models.rl.solver import Solver, undecided

C = 1.5


def opinion(game, own: int, other: int) -> tuple[np.ndarray, float]:
    """A made-up prior and value, a function of the position alone."""
    rng = np.random.default_rng([own, other])
    return rng.random(game.actions).astype(np.float32) + 0.05, float(rng.uniform(-0.8, 0.8))


def network(game):
    def evaluate(own, other):
        pairs = [opinion(game, int(a), int(b)) for a, b in zip(own, other, strict=True)]
        return np.stack([p for p, _ in pairs]), np.array([v for _, v in pairs], np.float32)

    return evaluate


class Node:
    """A node of the textbook's search: a dictionary of moves, recursion, one tree."""

    def __init__(self, game, own: int, other: int) -> None:
        self.game, self.own, self.other = game, own, other
        over, result = game.outcome(np.array([own]), np.array([other]))
        self.over, self.children = bool(over[0]), {}
        self.value = float(result[0])
        if not self.over:
            self.moves = np.flatnonzero(game.legal(np.array([own]), np.array([other]))[0])
            prior, self.value = opinion(game, own, other)
            self.prior = {a: prior[a] / prior[self.moves].sum() for a in self.moves}
            self.visits, self.totals = dict.fromkeys(self.moves, 0), dict.fromkeys(self.moves, 0.0)

    def simulate(self) -> float:
        """Value of this node for the player to move, after one more visit."""
        if self.over:
            return self.value
        root = math.sqrt(sum(self.visits.values()))

        def score(a: int) -> float:
            q = self.totals[a] / self.visits[a] if self.visits[a] else 0.0
            return q + C * self.prior[a] * root / (1 + self.visits[a])

        move = max(self.moves, key=score)
        if move in self.children:
            value = -self.children[move].simulate()
        else:
            own, other = self.game.move(np.array([self.own]), np.array([self.other]), np.array([move]))
            self.children[move] = Node(self.game, int(own[0]), int(other[0]))
            value = -self.children[move].value
        self.visits[move] += 1
        self.totals[move] += value
        return value


def positions(game, n: int, plies: int) -> tuple[np.ndarray, np.ndarray]:
    """Some unfinished positions after random plies."""
    rng, kept = np.random.default_rng(plies), []
    while len(kept) < n:
        own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for _ in range(plies):
            own, other = game.move(own, other, (rng.random((1, game.actions)) * game.legal(own, other)).argmax(1))
            if game.outcome(own, other)[0][0]:
                break
        else:
            kept.append((own[0], other[0]))
    own, other = np.array(kept).T
    return own, other


@pytest.mark.parametrize(("name", "plies"), [("tictactoe", 2), ("connect4", 9), ("connect4", 24)])
def test_many_trees_visit_what_one_scalar_tree_visits(name, plies):
    game = board_game(name)
    own, other = positions(game, 6, plies)
    found = Forest(game, own, other, network(game), 80, score=puct(C), prove=False).found()
    for tree in range(6):
        root = Node(game, int(own[tree]), int(other[tree]))
        total = sum(root.simulate() for _ in range(80))
        assert {a: found.visits[tree, a] for a in root.moves} == root.visits
        assert found.visits[tree].sum() == 80
        assert found.value[tree] == pytest.approx(total / 80, abs=1e-4)
        for a in root.moves:
            if root.visits[a]:
                assert found.values[tree, a] == pytest.approx(root.totals[a] / root.visits[a], abs=1e-4)


def test_the_value_changes_sign_at_every_ply():
    """A win in one is worth 1 to the mover; the position before it, where nothing prevents it, is worth -1."""
    game = board_game("connect4")
    board = np.zeros((6, 7), int)
    board[5, 2:5] = 1  # both ends are open
    board[4, 2:5] = -1
    for prove in (True, False):
        mine = Forest(game, *game.positions(board), network(game), 60, score=puct(C), prove=prove).found()
        assert mine.policy[0].argmax() in (1, 5) and mine.values[0, mine.policy[0].argmax()] == 1
        theirs = board.copy()
        theirs[4] = -theirs[4]
        theirs[5] = -theirs[5]
        theirs[4, 2:5] = 0
        lost = Forest(game, *game.positions(theirs), network(game), 400, score=puct(C), prove=prove).found()
        assert lost.value[0] == -1 if prove else lost.value[0] < -0.5


@pytest.mark.parametrize("name", GAMES)
def test_what_is_proven_is_true(name):
    game, solver = board_game(name), Solver(board_game(name))
    own, other, exact = undecided(game, 40, {"tictactoe": 5, "connect4": 10}[name], seed=2)
    forest = Forest(game, own, other, network(game), 400, score=puct(C))
    found = forest.found()
    proven = np.abs(found.values) == 1
    assert proven.mean() > 0.1 and np.array_equal(found.values[proven], exact[proven])
    assert (forest.proof != 0).any()
    for tree in np.flatnonzero(forest.proof):
        assert forest.proof[tree] == solver.value(int(own[tree]), int(other[tree]))
    best = np.take_along_axis(exact, found.policy.argmax(1)[:, None], 1)[:, 0] == np.nanmax(exact, 1)
    assert best.mean() > 0.95


def test_noise_moves_a_quarter_of_the_prior_and_only_to_legal_moves():
    game = board_game("connect4")
    board = np.zeros((6, 7), int)
    board[:, 0] = [1, -1, 1, -1, 1, -1]
    own, other = game.positions(board)
    plain = Forest(game, own, other, network(game), 1, score=puct(C)).edges[0, 2]
    noise = np.eye(7, dtype=np.float32)[[3]] + np.eye(7, dtype=np.float32)[[0]]
    noisy = Forest(game, own, other, network(game), 1, score=puct(C), noise=noise).edges[0, 2]
    np.testing.assert_allclose(noisy, 0.75 * plain + 0.25 * np.eye(7)[3], atol=1e-6)


def test_classical_search_finds_wins_and_blocks():
    game, rng = board_game("connect4"), np.random.default_rng(0)
    attack = np.zeros((6, 7), int)
    attack[5, :3], attack[4, :2] = 1, -1
    defence = -attack
    own, other = game.positions(np.stack([attack, defence]))
    assert classical(game, own, other, 300, rng).visits.argmax(1).tolist() == [3, 3]
