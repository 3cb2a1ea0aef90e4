"""What is counted of a graph's edges before a network computes."""

import pytest
import torch
from torch_geometric.utils import is_undirected, to_undirected

from zoo.models.graphs.inputs import census, check_features
from zoo.models.graphs.node import row_normalize


@pytest.mark.parametrize("edges", [0, 3, 40, 400])
def test_census_agrees_with_pairs_that_are_sorted(edges):
    some = torch.randint(0, 20, (2, edges), generator=torch.Generator().manual_seed(edges))
    both = to_undirected(some, num_nodes=20)
    for edge_index in (some, both, torch.cat([both, both], 1), both[:, : both.shape[1] // 2]):
        twice = edge_index.shape[1] - torch.unique(edge_index, dim=1).shape[1]
        assert census(edge_index, 20) == (twice, is_undirected(edge_index, num_nodes=20))


def test_finite_features_whose_sum_overflows():
    check_features(torch.full((3, 2), 3e38), 2)


def test_features_that_are_scaled_already_are_not_copied():
    once = row_normalize(torch.tensor([[1.0, 3.0], [0.0, 0.0]]))
    assert row_normalize(once) is once
