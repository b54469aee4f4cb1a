"""The catalogue of data sets: their files, checksums and download addresses."""

from __future__ import annotations

from dataclasses import dataclass

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DataFile:
    """An unpacked file of a data set."""

    name: str
    size: int | None
    """The size in bytes, or None if only the checksum is published."""
    checksum: str
    """The checksum of the unpacked bytes, `sha256:…` or `md5:…`. Mirrors compress the file differently."""


@dataclass(frozen=True)
class Download:
    """A download, either one file, plain or .gz, or a .tar.gz of several."""

    name: str
    urls: tuple[str, ...]
    """The mirrors, in the order in which they are tried."""
    gives: tuple[DataFile, ...]
    limit: int
    """The maximum number of bytes that a mirror may send."""
    checksum: str | None = None
    """The checksum of the download, if it is the same on all mirrors."""


@dataclass(frozen=True)
class DataSource:
    """A data set in the catalogue."""

    name: str
    title: str
    folder: str
    """The folder for its files, below the data folder."""
    downloads: tuple[Download, ...]
    size: int
    """The approximate download size, in bytes."""
    disk: int
    """The approximate space on disk, in bytes, including the space for unpacking."""
    stand_in: str | None
    """The data set that replaces it offline."""
    fixed: bool
    """Whether equal data always has equal bytes. This is true of IDX, but a pickle's bytes depend on the program that
    wrote it.
    """
    classes: tuple[str, ...] = DIGITS
    """The names of its classes, in order."""
    is_text: bool = False
    """Whether the data set is a text rather than images."""

    @property
    def files(self) -> tuple[DataFile, ...]:
        """All files, in the order of the downloads."""
        return tuple(file for download in self.downloads for file in download.gives)


_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def _build_mnist_download(name: str, size: int, sha256: str) -> Download:
    """Build the download of one MNIST file, with the size and SHA-256 of the unpacked file."""
    file = DataFile(name, size, f"sha256:{sha256}")
    return Download(f"{name}.gz", tuple(f"{mirror}{name}.gz" for mirror in _MNIST_MIRRORS), (file,), limit=size)


def _build_cifar_batch_file(name: str, md5: str) -> DataFile:
    """Build the catalogue's entry for one file of the CIFAR-10 archive."""
    return DataFile(name, None, f"md5:{md5}")


SOURCES = {
    "mnist": DataSource(
        name="mnist",
        title="MNIST, handwritten digits: 60,000 training and 10,000 test images, 28×28, grey",
        folder="mnist",
        downloads=(
            # SHA-256 of the bytes whose MD5 is published; tests/data/test_real.py compares both.
            _build_mnist_download(
                "train-images-idx3-ubyte",
                47_040_016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            _build_mnist_download(
                "train-labels-idx1-ubyte",
                60_008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            _build_mnist_download(
                "t10k-images-idx3-ubyte",
                7_840_016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            _build_mnist_download(
                "t10k-labels-idx1-ubyte",
                10_008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        size=11_600_000,
        disk=65_000_000,
        stand_in="digits",
        fixed=True,
    ),
    "cifar10": DataSource(
        name="cifar10",
        title="CIFAR-10, vehicles and animals: 50,000 training and 10,000 test images, 32×32, colour",
        folder="cifar-10-batches-py",
        downloads=(
            Download(
                "cifar-10-python.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
                (
                    _build_cifar_batch_file("data_batch_1", "c99cafc152244af753f735de768cd75f"),
                    _build_cifar_batch_file("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
                    _build_cifar_batch_file("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
                    _build_cifar_batch_file("data_batch_4", "634d18415352ddfa80567beed471001a"),
                    _build_cifar_batch_file("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
                    _build_cifar_batch_file("test_batch", "40351d587109b95175f43aff81a1287e"),
                ),
                limit=170_498_071,
                checksum="sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            ),
        ),
        size=170_500_000,
        disk=360_000_000,
        stand_in="shapes",
        fixed=False,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "shakespeare": DataSource(
        name="shakespeare",
        title="Shakespeare, 1,115,394 bytes from his plays",
        folder="text",
        downloads=(
            Download(
                "tinyshakespeare.txt",
                ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
                (
                    DataFile(
                        "tinyshakespeare.txt",
                        1_115_394,
                        "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                    ),
                ),
                limit=1_115_394,
            ),
        ),
        size=1_115_394,
        disk=3_000_000,
        stand_in="Python's own documentation",
        fixed=True,
        is_text=True,
    ),
}
"""The catalogue's entries, keyed by the data set's name."""
