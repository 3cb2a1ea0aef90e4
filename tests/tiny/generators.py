"""What draws images and points, or says how likely they are."""

from typing import Any

from tests.batches import bars, images, points, two_domains
from tests.tiny.case import DIGITS, Tiny

# every model of pixels with a likelihood: the images are noise, so there are few bits to gain
PIXELS: dict[str, Any] = {
    "batch": images(),
    "data": "mnist",
    "data_init": {"normalize": False, "batch_size": 16},
    "overfits": 0.97,
    "lr": 1e-2,
}

# every image model that is trained by denoising: the noise is drawn anew in every step
DENOISERS: dict[str, Any] = {
    "batch": images(),
    "data": "mnist",
    "data_init": {"normalize": False, "batch_size": 16},
    "overfits": 0.85,
    "lr": 1e-2,
}

TINY: dict[str, Tiny] = {
    "autoencoder": Tiny({"latent_dim": 8, "hidden": [16]}, **DIGITS, lr=1e-2),
    "cvae": Tiny(
        {"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99
    ),  # pixels are drawn anew each step
    "infovae": Tiny({"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99),
    "linear-autoencoder": Tiny({"latent_dim": 8}, **DIGITS, lr=1e-2),
    "pca": Tiny({"latent_dim": 4}, **DIGITS),
    "ppca": Tiny({"latent_dim": 4}, **DIGITS),
    "vae": Tiny({"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99),
    "vqvae": Tiny(
        {
            "latent_dim": 4,
            "entries": 16,
            "entry_dim": 4,
            "hidden": [32],
            "prior_width": 8,
            "prior_layers": 1,
            "prior_heads": 2,
        },
        **DIGITS,
        lr=1e-2,
        overfits=0.8,  # codes change while the prior learns them
    ),
    "vib": Tiny({"latent_dim": 4, "hidden": [16]}, images(), data="mnist"),
    "boltzmann": Tiny({"hidden": 2}, bars, data="bars-and-stripes", overfits=0.7, lr=0.05),
    "hopfield": Tiny({"size": 784, "patterns": 3}, bars, data="digit-patterns", data_init={"patterns": 12}),
    "rbm": Tiny(
        {"hidden": 8, "chains": 8, "temperatures": 5, "runs": 2}, **DIGITS, overfits=0.99
    ),  # pixels are drawn anew each step
    "dbn": Tiny(
        {"hidden": [32, 7], "temperatures": 5, "runs": 2},
        **DIGITS,
        overfits=0.95,  # pixels are drawn anew each step
        no_gradient=("machines.1.weight", "machines.1.visible_bias", "machines.1.hidden_bias"),  # its turn comes later
    ),
    "dbn-classifier": Tiny({"hidden": [16, 16]}, **DIGITS, lr=3e-2),
    "point-energy": Tiny({"hidden": [16], "chains": 16, "steps": 2}, points(), data="moons"),
    "cyclegan": Tiny({"width": 4}, two_domains(28)),
    "pix2pix": Tiny({"width": 4}, **DIGITS),
    "dcgan": Tiny({"latent_dim": 4, "width": 4}, **DIGITS),
    "fgan": Tiny({"latent_dim": 4, "hidden": [8], "divergence": "hellinger"}, **DIGITS),
    "gan": Tiny({"latent_dim": 4, "hidden": [8], "num_classes": 10}, **DIGITS),
    "lsgan": Tiny({"latent_dim": 4, "hidden": [8], "r1": 1.0}, **DIGITS),
    "sngan": Tiny(
        {"image_shape": [3, 16, 16], "latent_dim": 4, "width": 4, "num_classes": 10},
        images(8, 3, 16),
        data="cifar10",
        data_init={"normalize": False},
    ),
    "wgan": Tiny({"latent_dim": 4, "hidden": [8]}, **DIGITS),
    "point-gan": Tiny({"latent_dim": 4, "hidden": [8]}, points(), data="ring"),
    "pixelcnn": Tiny({"width": 4, "layers": 2, "levels": 8}, **PIXELS),
    "pixelrnn": Tiny({"width": 4, "layers": 1, "levels": 8}, **PIXELS),
    "glow": Tiny({"width": 4, "steps": 2, "blocks": 1}, **PIXELS),
    "maf-image": Tiny({"layers": 2, "hidden_dim": 16}, **PIXELS),
    "nice": Tiny({"layers": 2, "hidden_dim": 16, "depth": 1}, **PIXELS),
    "realnvp-image": Tiny({"width": 4, "couplings": 2, "blocks": 1}, **PIXELS),
    "maf": Tiny({"layers": 3, "hidden_dim": 16, "depth": 1}, points(), data="moons", lr=1e-2),
    "realnvp": Tiny({"layers": 3, "hidden_dim": 16, "depth": 1}, points(), data="moons", lr=1e-2),
    "ddpm": Tiny(
        {"width": 8, "blocks": 1, "timesteps": 50},
        images(),
        data="mnist",
        data_init={"normalize": False},
        overfits=0.8,  # the noise is drawn anew in every step
        lr=1e-2,
    ),
    "cfg-ddpm": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    # of many intervals, most ask an untrained network to agree with itself, which it does; of two, one asks for the image
    "adversarial-consistency": Tiny({"width": 8, "timesteps": 10, "intervals": 2, "critic_width": 8}, **DENOISERS),
    "consistency": Tiny({"width": 8, "timesteps": 10, "segments": 1, "intervals": 2}, **DENOISERS),
    "controlnet": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    # a network that says 0 isn't a velocity of 0 but already a share of the state: less is left to learn
    "flow-matching": Tiny({"width": 8}, **DENOISERS | {"overfits": 0.9}),
    "t2i-adapter": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    "text-ldm": Tiny(
        {"width": 8, "text_dim": 8, "autoencoder_width": 8, "timesteps": 50}, **DENOISERS | {"overfits": 0.95}
    ),
    "kl-ae": Tiny({"width": 8}, **DENOISERS),
    "latent-diffusion": Tiny({"width": 8, "autoencoder_width": 8, "timesteps": 50}, **DENOISERS | {"overfits": 0.95}),
    "noisy-classifier": Tiny({"width": 8, "dropout": 0.0, "timesteps": 10}, **DENOISERS),
    # levels between the steps of a pixel and its range: beyond them there's little to learn in a hundred steps
    "ncsn": Tiny({"width": 8, "levels": 5, "largest": 4.0, "smallest": 0.4}, **DENOISERS),
    "score-sde": Tiny({"width": 8}, **DENOISERS),
    "ncsn-points": Tiny(
        {"hidden_dim": 32, "levels": 4},
        points(),
        data="two-gaussians",
        overfits=0.9,  # the noise is drawn anew in every step
    ),
    "point-ddpm": Tiny(
        {"dim": 2, "hidden_dim": 32, "timesteps": 20},
        points(),
        overfits=0.9,  # the noise is drawn anew in every step
    ),
}
