"""What the zoo knows by name. Plain strings: reading this table imports nothing.

A checkpoint's config.json names an architecture of this table and never a Python path, so that loading weights can't run
code that isn't ours. The module is imported when a model of it is made.
"""

import importlib
from typing import Any

from zoo.errors import UnknownNameError

ARCHITECTURES = {
    "adversarial-consistency": "zoo.diffusion.adversarial_consistency:AdversarialConsistency",
    "alexnet": "zoo.convnets.alexnet:AlexNet",
    "allconv": "zoo.convnets.allconv:AllConv",
    "attention-seq2seq": "zoo.recurrent.seq2seq:AttentionSeq2Seq",
    "autoencoder": "zoo.autoencoders.autoencoder:Autoencoder",
    "backprop-mlp": "zoo.mlp.backprop:BackpropMLP",
    "bert": "zoo.transformers.bert:BERT",
    "cfg-ddpm": "zoo.diffusion.cfg:ConditionalDDPM",
    "char-rnn": "zoo.recurrent.char_rnn:CharRNN",
    "cnn": "zoo.convnets.cnn:CNN",
    "consistency": "zoo.diffusion.consistency:ConsistencyModel",
    "conv1d": "zoo.convnets.conv1d:MotifCNN",
    "controlnet": "zoo.diffusion.controlnet:ControlNet",
    "cvae": "zoo.autoencoders.cvae:CVAE",
    "dcgan": "zoo.adversarial.dcgan:DCGAN",
    "ddpm": "zoo.diffusion.ddpm:DDPM",
    "densenet": "zoo.convnets.densenet:DenseNet",
    "edgeconv": "zoo.graphs.edgeconv:DGCNN",
    "fgan": "zoo.adversarial.fgan:FGAN",
    "flow-matching": "zoo.diffusion.flow_matching:FlowMatching",
    "fractional-pool": "zoo.convnets.fractional:FractionalNet",
    "gan": "zoo.adversarial.gan:GAN",
    "gat": "zoo.graphs.gat:GAT",
    "gcn": "zoo.graphs.gcn:GCN",
    "gin": "zoo.graphs.gin:GIN",
    "glow": "zoo.flows.glow:Glow",
    "gpt": "zoo.transformers.gpt:GPT",
    "grand": "zoo.graphs.grand:GRAND",
    "inception": "zoo.convnets.inception:Inception",
    "infovae": "zoo.autoencoders.infovae:InfoVAE",
    "kl-ae": "zoo.diffusion.kl_autoencoder:KLAutoencoder",
    "latent-diffusion": "zoo.diffusion.latent:LatentDiffusion",
    "lenet5": "zoo.convnets.lenet5:LeNet5",
    "linear-autoencoder": "zoo.autoencoders.linear:LinearAutoencoder",
    "lsgan": "zoo.adversarial.lsgan:LSGAN",
    "maf": "zoo.flows.maf:MAF",
    "maf-image": "zoo.flows.maf:ImageMAF",
    "maxout": "zoo.mlp.maxout:Maxout",
    "mlp": "zoo.mlp.mlp:MLP",
    "mobilenet": "zoo.convnets.mobilenet:MobileNetV2",
    "mpnn": "zoo.graphs.mpnn:MPNN",
    "music-transformer": "zoo.transformers.music:MusicTransformer",
    "ncsn": "zoo.diffusion.ncsn:NCSN",
    "ncsn-points": "zoo.diffusion.ncsn:PointNCSN",
    "nice": "zoo.flows.nice:NICE",
    "node-mlp": "zoo.graphs.mlp:NodeMLP",
    "noisy-classifier": "zoo.diffusion.guidance:NoisyClassifier",
    "pca": "zoo.autoencoders.pca:PCA",
    "perceptron": "zoo.mlp.perceptron:Perceptron",
    "piano-roll-rnn": "zoo.recurrent.music:PianoRollRNN",
    "pixelcnn": "zoo.pixel.pixelcnn:PixelCNN",
    "pixelrnn": "zoo.pixel.pixelrnn:PixelRNN",
    "point-gan": "zoo.adversarial.point_gan:PointGAN",
    "ppca": "zoo.autoencoders.ppca:PPCA",
    "realnvp": "zoo.flows.realnvp:RealNVP",
    "realnvp-image": "zoo.flows.realnvp_image:ImageRealNVP",
    "regression-mlp": "zoo.mlp.regression:RegressionMLP",
    "resnet-cifar": "zoo.convnets.resnet:CIFARResNet",
    "resnet18": "zoo.convnets.resnet:ResNet18",
    "resnext": "zoo.convnets.resnext:ResNeXt",
    "rnn-classifier": "zoo.recurrent.classifier:RecurrentClassifier",
    "sage": "zoo.graphs.sage:SAGE",
    "score-sde": "zoo.diffusion.score_sde:ScoreSDE",
    "seq2seq": "zoo.recurrent.thought_vector:ThoughtVector",
    "simplecnn": "zoo.convnets.simplecnn:SimpleCNN",
    "speednet": "zoo.convnets.speednet:SpeedNet",
    "t2i-adapter": "zoo.diffusion.t2i_adapter:T2IAdapter",
    "text-ldm": "zoo.diffusion.text_ldm:TextLatentDiffusion",
    "timm": "zoo.convnets.timm_backbone:TimmBackbone",
    "transformer": "zoo.transformers.transformer:Transformer",
    "vae": "zoo.autoencoders.vae:VAE",
    "vgg": "zoo.convnets.vgg:VGG",
    "vib": "zoo.autoencoders.vib:VIB",
    "vit": "zoo.transformers.vit:ViT",
    "vqvae": "zoo.autoencoders.vqvae:VQVAE",
    "wgan": "zoo.adversarial.wgan:WGAN",
    "word2vec": "zoo.text.word2vec:Word2Vec",
}

DATAMODULES = {
    "bell": "datamodules.bumps:Bell",
    "cifar10": "datamodules.cifar10:CIFAR10",
    "cifar100": "datamodules.cifar100:CIFAR100",
    "citeseer": "datamodules.planetoid:Citeseer",
    "coin": "datamodules.bumps:Coin",
    "concrete": "datamodules.concrete:Concrete",
    "cora": "datamodules.planetoid:Cora",
    "esol": "datamodules.moleculenet:ESOL",
    "fashion-mnist": "datamodules.fashion_mnist:FashionMNIST",
    "gutenberg": "datamodules.gutenberg:Gutenberg",
    "gutenberg-pieces": "datamodules.gutenberg_pieces:GutenbergPieces",
    "image-folder": "datamodules.image_folder:ImageFolder",
    "iris": "datamodules.iris:Iris",
    "jsb-chorales": "datamodules.jsb_chorales:JSBChorales",
    "karate": "datamodules.karate:KarateClub",
    "logic-gate": "datamodules.gates:LogicGate",
    "mnist": "datamodules.mnist:MNIST",
    "mnist-points": "datamodules.mnist_points:MNISTPoints",
    "moby-dick": "datamodules.moby_dick:MobyDick",
    "moons": "datamodules.moons:TwoMoons",
    "multi30k": "datamodules.multi30k:Multi30k",
    "mutag": "datamodules.tudataset:MUTAG",
    "names": "datamodules.names:Names",
    "proteins": "datamodules.tudataset:PROTEINS",
    "ring": "datamodules.bumps:Ring",
    "sst2": "datamodules.sst2:SST2",
    "subset": "datamodules.subset:Subset",
    "text-file": "datamodules.text:TextFile",
    "tfbs": "datamodules.dna_motifs:TFBS",
    "tinyshakespeare": "datamodules.tinyshakespeare:TinyShakespeare",
    "two-gaussians": "datamodules.mixture:TwoGaussians",
    "usps": "datamodules.usps:USPS",
    "xor": "datamodules.xor:XOR",
}


def architecture(name: str) -> type:
    """The LightningModule class of an architecture name; LookupError with the nearest names if there is none."""
    return _resolve("architecture", name, ARCHITECTURES)


def datamodule_class(name: str) -> type:
    """The LightningDataModule class of a data set name; LookupError with the nearest names if there is none."""
    return _resolve("data module", name, DATAMODULES)


def name_of(cls: type, table: dict[str, str]) -> str:
    """The name under which a class stands in a table, by its own path; TypeError for a class that isn't in it."""
    path = f"{cls.__module__}:{cls.__name__}"
    for name, target in table.items():
        if target == path:
            return name
    raise TypeError(f"{path} is not in the registry: add a line for it in zoo/registry.py")


def _resolve(kind: str, name: str, table: dict[str, str]) -> Any:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
