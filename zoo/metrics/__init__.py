"""How good generated images are, measured without an Inception network.

    from zoo.metrics.generation import evaluate_images

    evaluate_images(model.sample(10_000, seed=0), "mnist")      # every measure of the protocol, as entries of metrics.json

`frechet`, `kernel`, `neighbours` and `diversity` hold one kind of measure each, as plain functions of features or class
probabilities; `reference` what the images are compared with.
"""
