"""What the zoo knows by name. Plain strings: reading this table imports nothing.

A checkpoint's config.json names an architecture of this table and never a Python path, so that loading weights can't run
code that isn't ours. The module is imported when a model of it is made.
"""

import importlib
from typing import Any

from zoo.errors import UnknownNameError

ARCHITECTURES = {
    "a2c": "zoo.models.rl.a2c:A2C",
    "adapter-bert": "zoo.models.adaptation.adapter_bert:AdapterBERT",
    "adversarial-consistency": "zoo.models.diffusion.adversarial_consistency:AdversarialConsistency",
    "alexnet": "zoo.models.convnets.alexnet:AlexNet",
    "allconv": "zoo.models.convnets.allconv:AllConv",
    "alphazero": "zoo.models.rl.alphazero:AlphaZero",
    "attention-seq2seq": "zoo.models.recurrent.seq2seq:AttentionSeq2Seq",
    "autoencoder": "zoo.models.autoencoders.autoencoder:Autoencoder",
    "backprop-mlp": "zoo.models.mlp.backprop:BackpropMLP",
    "bert": "zoo.models.transformers.bert:BERT",
    "byol": "zoo.models.selfsupervised.byol:BYOL",
    "boltzmann": "zoo.models.energy.boltzmann:Boltzmann",
    "cfg-ddpm": "zoo.models.diffusion.cfg:ConditionalDDPM",
    "char-rnn": "zoo.models.recurrent.char_rnn:CharRNN",
    "cnn": "zoo.models.convnets.cnn:CNN",
    "colorization": "zoo.models.selfsupervised.colorization:Colorization",
    "consistency": "zoo.models.diffusion.consistency:ConsistencyModel",
    "controlnet": "zoo.models.diffusion.controlnet:ControlNet",
    "conv1d": "zoo.models.convnets.conv1d:MotifCNN",
    "cvae": "zoo.models.autoencoders.cvae:CVAE",
    "cyclegan": "zoo.models.adversarial.cyclegan:CycleGAN",
    "dan": "zoo.models.adaptation.dan:DAN",
    "dann": "zoo.models.adaptation.dann:DANN",
    "dcgan": "zoo.models.adversarial.dcgan:DCGAN",
    "ddpm": "zoo.models.diffusion.ddpm:DDPM",
    "deeplabv3": "zoo.models.segmentation.deeplabv3:DeepLabV3",
    "dbn": "zoo.models.energy.dbn:DBN",
    "dbn-classifier": "zoo.models.energy.dbn_classifier:DBNClassifier",
    "densenet": "zoo.models.convnets.densenet:DenseNet",
    "dqn": "zoo.models.rl.dqn:DQN",
    "edgeconv": "zoo.models.graphs.edgeconv:DGCNN",
    "expected-sarsa": "zoo.models.rl.tabular:ExpectedSarsa",
    "elm": "zoo.models.mlp.elm:ELM",
    "esn": "zoo.models.dynamics.esn:ESN",
    "fast-rcnn": "zoo.models.detection.fast_rcnn:FastRCNN",
    "faster-rcnn": "zoo.models.detection.faster_rcnn:FasterRCNN",
    "fgan": "zoo.models.adversarial.fgan:FGAN",
    "flow-matching": "zoo.models.diffusion.flow_matching:FlowMatching",
    "fractional-pool": "zoo.models.convnets.fractional:FractionalNet",
    "gan": "zoo.models.adversarial.gan:GAN",
    "gat": "zoo.models.graphs.gat:GAT",
    "gated-nested-unet-separation": "zoo.models.audio.gated_nested_unet:GatedNestedUNet",
    "gcn": "zoo.models.graphs.gcn:GCN",
    "gin": "zoo.models.graphs.gin:GIN",
    "glow": "zoo.models.flows.glow:Glow",
    "gpt": "zoo.models.transformers.gpt:GPT",
    "grand": "zoo.models.graphs.grand:GRAND",
    "hopfield": "zoo.models.energy.hopfield:Hopfield",
    "inception": "zoo.models.convnets.inception:Inception",
    "infovae": "zoo.models.autoencoders.infovae:InfoVAE",
    "jigsaw": "zoo.models.selfsupervised.jigsaw:Jigsaw",
    "kernel-machine": "zoo.models.kernels.kernel_machine:KernelMachine",
    "kl-ae": "zoo.models.diffusion.kl_autoencoder:KLAutoencoder",
    "latent-diffusion": "zoo.models.diffusion.latent:LatentDiffusion",
    "lenet5": "zoo.models.convnets.lenet5:LeNet5",
    "linear-autoencoder": "zoo.models.autoencoders.linear:LinearAutoencoder",
    "lsgan": "zoo.models.adversarial.lsgan:LSGAN",
    "maf": "zoo.models.flows.maf:MAF",
    "maf-image": "zoo.models.flows.maf:ImageMAF",
    "maxout": "zoo.models.mlp.maxout:Maxout",
    "mlp": "zoo.models.mlp.mlp:MLP",
    "mobilenet": "zoo.models.convnets.mobilenet:MobileNetV2",
    "mpnn": "zoo.models.graphs.mpnn:MPNN",
    "music-transformer": "zoo.models.transformers.music:MusicTransformer",
    "name-rnn": "zoo.models.recurrent.names:NameRNN",
    "ncsn": "zoo.models.diffusion.ncsn:NCSN",
    "ncsn-points": "zoo.models.diffusion.ncsn:PointNCSN",
    "neural-ode": "zoo.models.dynamics.neural_ode:NeuralODE",
    "neural-ode-classifier": "zoo.models.dynamics.neural_ode_classifier:NeuralODEClassifier",
    "nice": "zoo.models.flows.nice:NICE",
    "node-mlp": "zoo.models.graphs.mlp:NodeMLP",
    "noisy-classifier": "zoo.models.diffusion.guidance:NoisyClassifier",
    "pca": "zoo.models.autoencoders.pca:PCA",
    "performance-rnn": "zoo.models.recurrent.performance:PerformanceRNN",
    "perceptron": "zoo.models.mlp.perceptron:Perceptron",
    "piano-roll-rnn": "zoo.models.recurrent.music:PianoRollRNN",
    "pix2pix": "zoo.models.adversarial.pix2pix:Pix2Pix",
    "pixelcnn": "zoo.models.pixel.pixelcnn:PixelCNN",
    "pixelrnn": "zoo.models.pixel.pixelrnn:PixelRNN",
    "point-ddpm": "zoo.models.diffusion.point_ddpm:PointDDPM",
    "point-energy": "zoo.models.energy.point_energy:PointEnergy",
    "point-gan": "zoo.models.adversarial.point_gan:PointGAN",
    "policy-iteration": "zoo.models.rl.planning:PolicyIteration",
    "ppca": "zoo.models.autoencoders.ppca:PPCA",
    "ppo": "zoo.models.rl.ppo:PPO",
    "qlearning": "zoo.models.rl.tabular:QLearning",
    "rbm": "zoo.models.energy.rbm:RBM",
    "rcnn": "zoo.models.detection.rcnn:RCNN",
    "rbf-network": "zoo.models.mlp.rbf_network:RBFNetwork",
    "realnvp": "zoo.models.flows.realnvp:RealNVP",
    "realnvp-image": "zoo.models.flows.realnvp_image:ImageRealNVP",
    "regression-mlp": "zoo.models.mlp.regression:RegressionMLP",
    "reinforce": "zoo.models.rl.reinforce:REINFORCE",
    "reprogrammed-gpt": "zoo.models.adaptation.reprogrammed:ReprogrammedGPT",
    "reprogrammed-input": "zoo.models.adaptation.reprogrammed:ReprogrammedInput",
    "residual-adapter": "zoo.models.adaptation.residual_adapter:ResidualAdapter",
    "resnet-cifar": "zoo.models.convnets.resnet:CIFARResNet",
    "resnet18": "zoo.models.convnets.resnet:ResNet18",
    "resnext": "zoo.models.convnets.resnext:ResNeXt",
    "rnn-classifier": "zoo.models.recurrent.classifier:RecurrentClassifier",
    "rotnet": "zoo.models.selfsupervised.rotnet:RotNet",
    "sage": "zoo.models.graphs.sage:SAGE",
    "sarsa": "zoo.models.rl.tabular:Sarsa",
    "score-sde": "zoo.models.diffusion.score_sde:ScoreSDE",
    "seq2seq": "zoo.models.recurrent.thought_vector:ThoughtVector",
    "simclr": "zoo.models.selfsupervised.simclr:SimCLR",
    "simplecnn": "zoo.models.convnets.simplecnn:SimpleCNN",
    "sngan": "zoo.models.adversarial.sngan:SNGAN",
    "som": "zoo.models.prototypes.som:SOM",
    "speednet": "zoo.models.convnets.speednet:SpeedNet",
    "t2i-adapter": "zoo.models.diffusion.t2i_adapter:T2IAdapter",
    "td": "zoo.models.rl.tabular:TD",
    "text-ldm": "zoo.models.diffusion.text_ldm:TextLatentDiffusion",
    "timm": "zoo.models.convnets.timm_backbone:TimmBackbone",
    "transformer": "zoo.models.transformers.transformer:Transformer",
    "trpo": "zoo.models.rl.trpo:TRPO",
    "unet": "zoo.models.segmentation.unet:UNet",
    "unet-separation": "zoo.models.audio.unet_separation:UNetSeparation",
    "vae": "zoo.models.autoencoders.vae:VAE",
    "value-iteration": "zoo.models.rl.planning:ValueIteration",
    "vgg": "zoo.models.convnets.vgg:VGG",
    "vib": "zoo.models.autoencoders.vib:VIB",
    "vit": "zoo.models.transformers.vit:ViT",
    "vqvae": "zoo.models.autoencoders.vqvae:VQVAE",
    "wgan": "zoo.models.adversarial.wgan:WGAN",
    "word2vec": "zoo.models.text.word2vec:Word2Vec",
    "yolo": "zoo.models.detection.yolo:YOLO",
}

DATAMODULES = {
    "atoms": "datamodules.atoms:Atoms",
    "bccd": "datamodules.bccd:BCCD",
    "bars-and-stripes": "datamodules.bars_and_stripes:BarsAndStripes",
    "bell": "datamodules.bumps:Bell",
    "box-folder": "datamodules.box_folder:BoxFolder",
    "camvid": "datamodules.camvid:CamVid",
    "chorale-events": "datamodules.performances:ChoraleEvents",
    "cifar10": "datamodules.cifar10:CIFAR10",
    "cifar100": "datamodules.cifar100:CIFAR100",
    "citeseer": "datamodules.planetoid:Citeseer",
    "coin": "datamodules.bumps:Coin",
    "concrete": "datamodules.concrete:Concrete",
    "cora": "datamodules.planetoid:Cora",
    "dna-fasta": "datamodules.dna_fasta:DnaFasta",
    "environment": "datamodules.environment:Environment",
    "digit-patterns": "datamodules.digit_patterns:DigitPatterns",
    "esol": "datamodules.moleculenet:ESOL",
    "fashion-mnist": "datamodules.fashion_mnist:FashionMNIST",
    "graph-csv": "datamodules.own_graphs:GraphCSV",
    "domains": "datamodules.domains:Domains",
    "first-names": "datamodules.first_names:FirstNames",
    "fsdd-mixtures": "datamodules.fsdd:FSDDMixtures",
    "gutenberg": "datamodules.gutenberg:Gutenberg",
    "gutenberg-pieces": "datamodules.gutenberg_pieces:GutenbergPieces",
    "image-folder": "datamodules.image_folder:ImageFolder",
    "iris": "datamodules.iris:Iris",
    "jsb-chorales": "datamodules.jsb_chorales:JSBChorales",
    "karate": "datamodules.karate:KarateClub",
    "logic-gate": "datamodules.gates:LogicGate",
    "mackey-glass": "datamodules.mackey_glass:MackeyGlass",
    "mask-folder": "datamodules.mask_folder:MaskFolder",
    "midi-folder": "datamodules.midi_folder:MidiFolder",
    "mnist": "datamodules.mnist:MNIST",
    "mnist-canvases": "datamodules.canvases:Canvases",
    "mnist-m": "datamodules.mnist_m:MNISTM",
    "mnist-points": "datamodules.mnist_points:MNISTPoints",
    "moby-dick": "datamodules.moby_dick:MobyDick",
    "moons": "datamodules.moons:TwoMoons",
    "multi30k": "datamodules.multi30k:Multi30k",
    "mutag": "datamodules.tudataset:MUTAG",
    "names": "datamodules.names:Names",
    "nuclei": "datamodules.nuclei:Nuclei",
    "pairs-tsv": "datamodules.pairs_tsv:PairsTSV",
    "pendulum": "datamodules.pendulum:Pendulum",
    "performance-folder": "datamodules.performances:PerformanceFolder",
    "pixel": "datamodules.bumps:Pixel",
    "proteins": "datamodules.tudataset:PROTEINS",
    "replay": "datamodules.environment:Replay",
    "pyg-graph": "datamodules.own_graphs:PyGGraph",
    "pyg-graphs": "datamodules.own_graphs:PyGGraphs",
    "ring": "datamodules.bumps:Ring",
    "self-play": "datamodules.self_play:SelfPlay",
    "smiles-csv": "datamodules.own_graphs:SmilesCSV",
    "sst2": "datamodules.sst2:SST2",
    "subset": "datamodules.subset:Subset",
    "table-csv": "datamodules.table_csv:TableCSV",
    "text-csv": "datamodules.text_csv:TextCSV",
    "text-file": "datamodules.own_text:TextFile",
    "text-folder": "datamodules.own_text:TextFolder",
    "tfbs": "datamodules.dna_motifs:TFBS",
    "tinyshakespeare": "datamodules.tinyshakespeare:TinyShakespeare",
    "two-gaussians": "datamodules.mixture:TwoGaussians",
    "unlabelled-folder": "datamodules.unlabelled_folder:UnlabelledFolder",
    "usps": "datamodules.usps:USPS",
    "wav-folder": "datamodules.wav_folder:WavFolder",
    "xor": "datamodules.xor:XOR",
}

RENAMED: dict[
    str, str
] = {}  # checkpoints by the names that earlier versions gave them: {old: new}; the old ones warn and load


def architecture(name: str) -> type:
    """The LightningModule class of an architecture name; LookupError with the nearest names if there is none."""
    return _resolve("architecture", name, ARCHITECTURES)


def family(architecture: str) -> str:
    """The family of an architecture: the folder of zoo/models that holds its file."""
    return ARCHITECTURES[architecture].split(".")[2]


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
