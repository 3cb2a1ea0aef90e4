"""Monte Carlo tree search over many trees at once, all of them in NumPy arrays.

Each simulation walks from the root of every tree to a position that isn't in it yet. At a node s it takes the move with the
largest

    Q(s, a) + c P(s, a) √(Σ_b N(s, b)) / (1 + N(s, a)),        Q = W / N, 0 before the first visit          (PUCT)

where N counts the visits, W sums the values that came back, and P is the network's prior. The new position is evaluated, and its
value v ∈ [-1, 1] runs back up the path; it changes sign at each ply, because what is good for one player is bad for the other.
After all simulations the visits of the root are the better policy that the network learns from (Silver et al., 2017,
"Mastering the game of Go without human knowledge"; Rosin, 2011, for PUCT).

With `prove`, what the rules decide is decided for good (MCTS-Solver: Winands, Björnsson and Saito, 2008): a move to a position
that the opponent has lost wins, a position all of whose moves lose is lost. A proven loss is never chosen again while there is
another move, and a tree whose root is proven is finished.

Without a network the same trees give the classical search: `upper_confidence` in place of PUCT, a random playout as the value.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.board_games import Bits, BoardGame

Floats = NDArray[np.float32]
Evaluate = Callable[[Bits, Bits], tuple[Floats, Floats]]  # own, other [N] → prior over all moves [N, A], value [N]
Score = Callable[[Floats, Floats, Floats], Floats]  # N, W, P, each [n, A] → what selection maximises

VISITS, TOTALS, PRIOR, VERDICT = range(4)  # of a move; the verdict is added to its score
ILLEGAL, LOSES, WINS = -1e9, -1e6, 1e6


@dataclass
class Searched:
    """What a search found at the roots of T trees.

    visits: float32 [T, A]. values: Q of each move [T, A], NaN where unvisited, exactly ±1 where proven.
    policy: float32 [T, A], the visits as probabilities; a proven win takes all, a proven loss nothing while there's another move.
    value: of the position for the player to move [T], the mean over all simulations, exactly ±1 where proven.
    """

    visits: Floats
    values: Floats
    policy: Floats
    value: Floats


def puct(c: float) -> Score:
    """The rule of AlphaZero, with exploration constant c."""

    def score(visits: Floats, totals: Floats, prior: Floats) -> Floats:
        explore = prior * (c * np.sqrt(visits.sum(1, keepdims=True)))
        return (totals / np.maximum(visits, 1)) + explore / (1 + visits)

    return score


def upper_confidence(c: float) -> Score:
    """UCT's rule (Kocsis and Szepesvári, 2006): Q + c √(ln Σ N / N); what was never visited comes first."""

    def score(visits: Floats, totals: Floats, prior: Floats) -> Floats:
        spread = c * np.sqrt(np.log(np.maximum(visits.sum(1, keepdims=True), 1)) / np.maximum(visits, 1))
        return np.where(visits == 0, np.float32(1e3), totals / np.maximum(visits, 1) + spread)

    return score


class Forest:
    """One search tree for each of T positions; a node of tree t has the flat index t · size + number, the root number 0.

    Args:
        own, other: the positions, int64 [T], none of them finished.
        evaluate: prior and value of positions.
        simulations: visits of each root.
        score: the rule of selection.
        noise: float32 [T, A] that replaces a quarter of the root's prior, or None.
        prove: remember what the rules decide.
    """

    def __init__(
        self,
        game: BoardGame,
        own: Bits,
        other: Bits,
        evaluate: Evaluate,
        simulations: int,
        *,
        score: Score,
        noise: Floats | None = None,
        prove: bool = True,
    ) -> None:
        self.game, self.evaluate, self.score, self.prove = game, evaluate, score, prove
        trees, self.size = len(own), simulations + 1
        nodes = trees * self.size
        self.own, self.other = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
        self.edges = np.zeros((nodes, 4, game.actions), np.float32)
        self.child = np.full((nodes, game.actions), -1, np.int64)
        self.over, self.result = np.zeros(nodes, bool), np.zeros(nodes, np.float32)
        self.roots = np.arange(trees) * self.size
        self.proof = np.zeros(trees, np.float32)  # of the roots: 1 won, -1 lost, 0 open
        self.own[self.roots], self.other[self.roots] = own, other
        self._evaluate(self.roots)
        if noise is not None:
            prior = self.edges[self.roots, PRIOR]
            noise = noise * game.legal(own, other)
            mixed = 0.75 * prior + 0.25 * noise / np.maximum(noise.sum(1, keepdims=True), 1e-12)
            self.edges[self.roots, PRIOR] = mixed
        for number in range(1, self.size):
            if self.proof.all():
                break
            self._simulate(number)

    def _simulate(self, number: int) -> None:
        """One walk in each tree that isn't proven; the new nodes all get the same number."""
        node = self.roots[self.proof == 0]
        trees = node // self.size
        rows, path = np.arange(len(node)), []
        leaf = np.empty(len(node), np.int64)
        while len(rows):  # one ply a turn; walks that have reached a leaf drop out
            edges = self.edges[node]
            move = (self.score(edges[:, VISITS], edges[:, TOTALS], edges[:, PRIOR]) + edges[:, VERDICT]).argmax(1)
            path.append((rows, node, move))
            child = self.child[node, move]
            new = child < 0
            child = np.where(new, trees[rows] * self.size + number, child)
            leaf[rows] = child
            self.child[node, move] = child
            self._place(node[new], move[new], child[new])
            on = ~(new | self.over[child])
            rows, node = rows[on], child[on]
        fresh = leaf[(leaf % self.size == number) & ~self.over[leaf]]
        value = self.result[leaf]
        value[(leaf % self.size == number) & ~self.over[leaf]] = self._evaluate(fresh)
        self._back_up(path, value, np.where(self.over[leaf], value, 0.0), trees)

    def _place(self, node: NDArray, move: NDArray, child: NDArray) -> None:
        """Write the position after a move into its new node."""
        own, other = self.game.move(self.own[node], self.other[node], move)
        self.own[child], self.other[child] = own, other
        self.over[child], self.result[child] = self.game.outcome(own, other)

    def _evaluate(self, node: NDArray) -> Floats:
        """Write the priors of new nodes, legal moves alone, and return their values."""
        if not len(node):
            return np.zeros(0, np.float32)
        own, other = self.own[node], self.other[node]
        legal = self.game.legal(own, other)
        prior, value = self.evaluate(own, other)
        prior = np.where(legal, prior, 0) + 1e-8 * legal
        self.edges[node, PRIOR] = prior / prior.sum(1, keepdims=True)
        self.edges[node, VERDICT] = np.where(legal, 0, np.float32(ILLEGAL))
        return value

    def _back_up(self, path: list, value: Floats, proof: Floats, trees: NDArray) -> None:
        """Carry values [n] and proofs [n] from the leaves to the roots."""
        for rows, node, move in reversed(path):
            value[rows] = -value[rows]  # the player changes
            self.edges[node, VISITS, move] += 1
            self.edges[node, TOTALS, move] += value[rows]
            known = proof[rows] != 0 if self.prove else np.zeros(len(rows), bool)
            if known.any():
                rows, node, move = rows[known], node[known], move[known]
                win = WINS * (1 + self.over[self.child[node, move]])  # at once rather than later
                self.edges[node, VERDICT, move] = np.where(proof[rows] < 0, win, LOSES)
                best = self.edges[node, VERDICT].max(1)
                proof[rows] = np.where(best > 0, 1.0, np.where(best < 0, -1.0, 0.0))
        if self.prove:
            self.proof[trees] = proof

    def found(self) -> Searched:
        """The visits, values and policies of the roots."""
        edges = self.edges[self.roots]
        visits, verdict = edges[:, VISITS], edges[:, VERDICT]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(verdict > 0, 1, np.where(verdict == LOSES, -1, edges[:, TOTALS] / visits))
        best = verdict.max(1, keepdims=True)
        wins = ((verdict == best) & (best > 0)).astype(np.float32)
        safe = visits * (verdict == 0)
        counts = np.where(wins.any(1, keepdims=True), wins, np.where(safe.any(1, keepdims=True), safe, visits))
        mean = edges[:, TOTALS].sum(1) / np.maximum(visits.sum(1), 1)
        return Searched(
            visits=visits,
            values=values.astype(np.float32),
            policy=(counts / counts.sum(1, keepdims=True)).astype(np.float32),
            value=np.where(self.proof != 0, self.proof, mean).astype(np.float32),
        )


def playout(game: BoardGame, rng: np.random.Generator) -> Evaluate:
    """The evaluation of the classical search: an even prior, and the result of one game between two random players."""

    def evaluate(own: Bits, other: Bits) -> tuple[Floats, Floats]:
        prior = np.full((len(own), game.actions), 1 / game.actions, np.float32)
        value, sign = np.zeros(len(own), np.float32), np.float32(1)
        rows = np.arange(len(own))
        while len(rows):
            legal = game.legal(own, other)
            move = (rng.random(legal.shape, np.float32) * legal).argmax(1)
            own, other = game.move(own, other, move)
            sign = -sign
            over, result = game.outcome(own, other)
            value[rows[over]] = sign * result[over]
            rows, own, other = rows[~over], own[~over], other[~over]
        return prior, value

    return evaluate


def classical(game: BoardGame, own: Bits, other: Bits, playouts: int, rng: np.random.Generator) -> Searched:
    """Monte Carlo tree search without a network: the opponent that AlphaZero is measured against."""
    evaluate = playout(game, rng)
    return Forest(game, own, other, evaluate, playouts, score=upper_confidence(1.4142), prove=False).found()
