"""Models with a code: PCA and its probabilistic form, autoencoders, variational autoencoders, VQ-VAE."""
