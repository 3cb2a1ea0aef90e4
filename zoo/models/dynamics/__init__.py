"""Models that are dynamical systems: a fixed random one (`esn.py`), and differential equations with a learnt right-hand side."""
