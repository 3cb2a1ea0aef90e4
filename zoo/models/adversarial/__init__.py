"""Adversarial networks: a generator learns from a discriminator, which learns from it."""
