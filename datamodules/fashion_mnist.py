"""Fashion-MNIST: 28 x 28 grey pictures of clothes, in MNIST's format and harder (Xiao, Rasul and Vollgraf, 2017)."""

from typing import ClassVar

from datamodules.mnist import MNIST


class FashionMNIST(MNIST):
    """Clothes in ten classes, 6000 to train on and 1000 to test in each. See `TensorDataModule` for the arguments."""

    name = "fashion-mnist"
    classes = (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    mean = (0.2860,)
    std = (0.3530,)
    hub_id: ClassVar[str] = "zalando-datasets/fashion_mnist"
    licence: ClassVar[str] = "MIT"
    licence_note: ClassVar[str] = "Free to use, change and share; keep the notice (Zalando SE)."
    photographs: ClassVar[str] = (
        "A photograph makes sense if it shows one piece of clothing, light on a black even ground, upright, filling an about "
        "square picture. A picture of a shop, on white, has to be inverted first (`PIL.ImageOps.invert`): of anything else the "
        "model names a class all the same, often with a high probability."
    )
    homepage: ClassVar[str] = "https://github.com/zalandoresearch/fashion-mnist"
    folder: ClassVar[str] = "FashionMNIST/raw"
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    }
