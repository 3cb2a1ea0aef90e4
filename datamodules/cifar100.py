"""CIFAR-100: 32 x 32 colour photographs of a hundred kinds of things (Krizhevsky, 2009), in the official binary version.

`cifar-100-binary` holds two files like those of CIFAR-10, but every record begins with two label bytes: one of twenty groups, and
the class, one of five of its group. The group isn't used.
"""

from typing import ClassVar

from datamodules.cifar10 import CIFAR10

NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""


class CIFAR100(CIFAR10):
    """A hundred classes, 500 to train on and 100 to test in each. See `TensorDataModule` for the arguments."""

    hub_id: ClassVar[str] = "uoft-cs/cifar100"
    name = "cifar100"
    classes = tuple(NAMES.split())
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)
    labels: ClassVar[int] = 2
    folder: ClassVar[str] = "cifar-100-binary"
    archive: ClassVar[str] = "cifar-100-binary.tar.gz"
    mirrors: ClassVar[tuple[str, ...]] = ("https://www.cs.toronto.edu/~kriz/",)
    sha256: ClassVar[str] = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
    files: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train.bin",), "test": ("test.bin",)}
