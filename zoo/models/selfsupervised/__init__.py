"""Learning without labels: a pretext task trains a backbone that `zoo.load(name, num_classes=5)` makes a classifier of.

`backbone.py` is the base of all five: the encoder, the embedding, and how a head takes the pretext's place. `views.py` draws the
random views of a picture. Then a file for each pretext: `rotnet`, `jigsaw`, `colorization`, `simclr`, `byol`.
"""
