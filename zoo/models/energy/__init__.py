"""Models that give every state an energy, and thereby a probability or a memory.

`rbm.py` has the restricted machine that `dbn.py` stacks; `dbn_classifier.py` starts from that stack; `boltzmann.py` is small
enough to be exact; `hopfield.py` remembers patterns as minima.
`point_energy.py` gives points of the plane an energy by a network.
"""
