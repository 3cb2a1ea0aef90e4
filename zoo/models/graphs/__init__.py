"""Graph networks: one file per architecture, layers from PyTorch Geometric, data as its `Data` and `Batch`."""
