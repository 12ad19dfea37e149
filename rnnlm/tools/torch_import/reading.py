"""Read PyTorch files into NumPy: zip archives, and the container from before torch 1.6.

torch.load would import and call what a file names. Here each name is a :class:`Name`, and nothing
but a Name is ever called: it makes dictionaries and tensors, else a :class:`Stub`. Tensors are
views of the mapped file, made after their sizes were compared with the file's.
"""

import contextlib
import io
import math
import pickle
import re
import zipfile
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rnnlm.amounts import amount
from rnnlm.errors import ModelError, RnnlmError
from rnnlm.storage.files.reading import binary_at
from rnnlm.tools.torch_import import SAFETENSORS

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before torch 1.6
MOST_BYTES = 1 << 24  # of pickles
MOST_MEMORY = 200_000_000  # bytes that the objects of pickles may take
MOST_PARTS = 100_000
DEEPEST = 16  # modules within modules
LONGEST_NAME = 256
DTYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "u1", "BFloat16Storage": "<u2",
}  # fmt: skip


BFLOAT16 = np.dtype("<u2")  # the upper halves of float32; no other type of torch is read as that
# `count` numbers of a type, from number `first` of the bytes that are called `key`; and a tensor of
# them. Both are as a file describes them, which may be wrong.
Storage = namedtuple("Storage", "dtype key first count")
Tensor = namedtuple("Tensor", "storage offset shape stride")


@dataclass
class Stub:
    """An object of a class that is not known here, such as a module, with its attributes."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


def _filled(pairs: Any = ()) -> dict[str | int, Any]:
    """Return a dictionary. Other keys are dropped: the hash of a deep tuple has no end."""
    items = pairs.items() if isinstance(pairs, dict) else pairs
    return {key: value for key, value in items if isinstance(key, str | int)}


MADE: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _filled,
    "collections.Counter": _filled,
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": Tensor,
    "torch._utils._rebuild_tensor_v2": lambda *parts: Tensor(*parts[:4]),
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    # Before torch 0.4, parameters were made without a function that rebuilds them.
    "torch.nn.parameter.Parameter": lambda tensor, *_: tensor,
    "torch.autograd.variable.Variable": lambda tensor, *_: tensor,
}


class Name(str):
    """A name in a file, MODULE.NAME, in the place of the object that Python would import."""

    def __call__(self, *arguments: object) -> object:
        return MADE[self](*arguments) if self in MADE else Stub(self)


# About how many bytes each operation of a pickle takes at most, by what was measured: a place in
# the memo, a text, a number or a reference. All others may make an object with attributes.
BYTES_OF = {
    **dict.fromkeys((pickle.BINPUT, pickle.LONG_BINPUT, pickle.PUT, pickle.MEMOIZE), 130),
    **dict.fromkeys((pickle.BINUNICODE, pickle.SHORT_BINUNICODE, pickle.UNICODE), 80),
    **dict.fromkeys((pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.BINFLOAT), 64),
    **dict.fromkeys((pickle.BINGET, pickle.LONG_BINGET, pickle.GET, pickle.NONE), 64),
}
BYTES_OF_OTHERS = 400


class Charged(dict[int, Any]):
    """The operations of pickles. Looking one up takes its bytes from what is left of MOST_MEMORY:
    a file of a few megabytes may ask for millions of objects."""

    left = MOST_MEMORY

    def __getitem__(self, code: int) -> Any:
        self.left -= BYTES_OF.get(bytes([code]), BYTES_OF_OTHERS)
        if self.left < 0:
            limit = amount(MOST_MEMORY, unit="bytes")
            raise pickle.UnpicklingError(f"its objects would take more than the limit of {limit}")
        return super().__getitem__(code)


class Reader(pickle._Unpickler):
    """Read a pickle of names, containers and tensors.

    It is the unpickler that is written in Python: that in C makes lists of any length that a file
    asks for.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, bytes_N: np.ndarray) -> None:
        self.stream = io.BytesIO(bytes(bytes_N[:MOST_BYTES]))
        super().__init__(self.stream, encoding="utf-8", errors="surrogateescape")
        self.__dict__["dispatch"] = Charged(self.dispatch)  # which the class keeps uncharged
        self.dtypes: dict[str, str] = {}  # of storages, by key

    def find_class(self, module: str, name: str) -> Any:
        return Name(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return what is stored outside of the pickle: a storage, or a class with its source."""
        if pid[0] == "module":
            return pid[1]
        _, name, key, _, count, *view = pid
        self.dtypes[key] = DTYPES.get(name.rpartition(".")[2], name)
        # A part of another storage, before torch 1.0: its own key, first number and length.
        _, first, count = view[0] if view and view[0] else (key, 0, count)
        return Storage(self.dtypes[key], key, first, count)

    def load_build(self) -> None:
        """Give a stub its attributes; other objects have none that matter."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Stub) and isinstance(state, dict):
            self.stack[-1].fields = state

    def load_newobj(self) -> None:
        """Make an object of a class."""
        arguments = self.stack.pop()
        self.stack[-1] = self.stack[-1](*arguments)

    def load_setitem(self) -> None:
        """Put one item into a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key], [value])

    def load_setitems(self) -> None:
        """Put the items behind the mark into a dictionary."""
        items = self.pop_mark()
        self._put(items[::2], items[1::2])

    def _put(self, keys: list[Any], values: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(_filled(zip(keys, values, strict=True)))

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    # The first takes memory before it is known whether the file is as long; no file has the others.
    for code in (
        pickle.BYTEARRAY8, pickle.NEWOBJ_EX, pickle.FROZENSET, pickle.ADDITEMS,
        pickle.EXT1, pickle.EXT2, pickle.EXT4,
    ):  # fmt: skip
        del dispatch[code[0]]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged pickle causes into a ModelError that names the file."""
    try:
        yield
    except RnnlmError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from None
    except Exception as error:  # of any class
        raise ModelError(
            f"{path} cannot be read",
            f"{type(error).__name__}: {error}",
            "fetch it again; if it is whole, save it anew with torch.save, in float32",
        ) from None


@dataclass(frozen=True)
class TorchFile:
    """The content of a file. bytes_N: its bytes, mapped. places: of each storage, where its bytes
    begin and how many there are."""

    content: Any
    bytes_N: np.ndarray
    places: dict[str, tuple[int, int]]

    def array(self, tensor: Tensor) -> np.ndarray:
        """Return a tensor as a view of the file; refuse one that is beyond its storage."""
        (kind, key, begin, count), offset, shape, stride = tensor
        start, length = self.places[key]
        for number in (begin, count, offset, *shape, *stride):
            if type(number) is not int or number < 0:
                raise pickle.UnpicklingError("a size is not a whole number")

        # All of it in whole numbers of Python, which do not overflow.
        dtype = np.dtype(kind)
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        is_longer = (begin + count) * dtype.itemsize > length
        if is_longer or math.prod(shape) > count or last >= count:
            raise pickle.UnpicklingError("a tensor is larger than its storage")
        numbers_N = np.frombuffer(self.bytes_N, dtype, count, start + begin * dtype.itemsize)
        strides = [step * dtype.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers_N[offset:], shape, strides, writeable=False)

    def parts(self) -> Iterator[tuple[str, Tensor | Stub]]:
        """Yield the tensors and modules by the names that a state_dict gives them."""
        seen: set[int] = set()
        waiting: list[tuple[str, int, Any]] = [("", 0, self.content)]
        for name, depth, part in waiting:
            if isinstance(part, Tensor | Stub):
                yield name, part
            if isinstance(part, Tensor) or id(part) in seen:
                continue
            seen.add(id(part))
            if depth < DEEPEST and len(name) < LONGEST_NAME:
                prefix = f"{name}." if name else ""
                for key, inner in _inside(part):
                    if isinstance(inner, Tensor | Stub | dict | list | tuple):
                        waiting.append((f"{prefix}{key}", depth + 1, inner))
                    if len(waiting) > MOST_PARTS:
                        limit = f"the limit of {MOST_PARTS:,} parts"
                        raise pickle.UnpicklingError(f"it has more than {limit}")


def _inside(part: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what a module, a dictionary or a list holds, with its key."""
    if isinstance(part, dict):
        yield from part.items()
    elif isinstance(part, list | tuple):
        yield from enumerate(part)
    else:
        for group in ("_parameters", "_buffers", "_modules"):
            yield from _filled(part.fields.get(group) or {}).items()


def as_float32(array: np.ndarray) -> np.ndarray:
    """Return a tensor's numbers as float32, in an array of their own."""
    if array.dtype == BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return np.array(array, np.float32, order="C")


def read_torch(path: Path) -> TorchFile:
    """Read a file that torch.save wrote, or another pickle."""
    with naming(path):
        bytes_N = np.memmap(path, dtype=np.uint8, mode="r")
        if zipfile.is_zipfile(path):
            return _read_archive(path, bytes_N)
        if bytes(bytes_N[:2]) == b"PK":
            raise pickle.UnpicklingError("the end of the archive is missing")

        if binary_at(path) == SAFETENSORS:
            hint = (
                "torch.save(safetensors.torch.load_file(FILE), 'model.pt') makes one that is read"
            )
            raise ModelError(f"{path} is a safetensors file", "files of torch.save are read", hint)

        # Before torch 1.6: the version and the sizes of types, the content, the keys of storages,
        # then the length and the numbers of each storage.
        reader = Reader(bytes_N)
        try:
            content = reader.load()
        except Exception:  # of any class, where the pickle is cut off
            if reader.stream.tell() == MOST_BYTES:
                _check_length(len(bytes_N))
            raise
        places: dict[str, tuple[int, int]] = {}
        if content == MAGIC:
            _, _, content, keys = (reader.load() for _ in range(4))
            start = reader.stream.tell()
            for key in keys:
                count = int.from_bytes(bytes(bytes_N[start:][:8]), "little")
                length = count * np.dtype(reader.dtypes[key]).itemsize
                places[key] = start + 8, length
                start += 8 + length
        return TorchFile(content, bytes_N, places)


def _read_archive(path: Path, bytes_N: np.ndarray) -> TorchFile:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
    all_pickled = [name for name in members if re.fullmatch(r"[^/]*/data\.pkl", name)]
    if len(all_pickled) > 1:
        raise pickle.UnpicklingError(f"it holds {', '.join(all_pickled)}")
    pickled = next(iter(all_pickled), "")
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}constants.pkl" in members or not pickled:
        raise ModelError(
            f"{path} is {'a TorchScript archive' if pickled else 'no file of torch.save'}",
            hint="save the state_dict of the model with torch.save",
        )

    # torch stores members as they are, so that they can be mapped.
    places = {}
    for name, member in members.items():
        header = bytes(bytes_N[member.header_offset :][:30])
        before = 30 + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        if member.compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError(f"{name} is compressed")
        start = member.header_offset + before
        if zlib.crc32(bytes_N[start : start + member.file_size].data) != member.CRC:
            raise pickle.UnpicklingError(f"the checksum of {name} differs")
        places[name.removeprefix(f"{folder}data/")] = start, member.file_size
    order, _ = places.get(f"{folder}byteorder", (0, 0))
    if bytes(bytes_N[order:][:3]) == b"big":
        raise pickle.UnpicklingError("its numbers are big-endian")
    start, length = places[pickled]
    _check_length(length)
    return TorchFile(Reader(bytes_N[start:][:length]).load(), bytes_N, places)


def _check_length(length: int) -> None:
    """Refuse a pickle that is cut off, as it is longer than what is read of one."""
    if length > MOST_BYTES:
        raise pickle.UnpicklingError(
            f"its pickle takes {length:,} bytes, more than the limit of {MOST_BYTES:,} bytes"
        )
