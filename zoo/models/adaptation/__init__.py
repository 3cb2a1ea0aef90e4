"""Models that carry what was learnt on one kind of data over to another.

`two_domains.py` is the base of DANN and DAN; the others change a frozen network of the zoo by few parameters.
"""
