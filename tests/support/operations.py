"""What torch computes below a function of ours: its operations, with their arguments."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Note the operations of this context, backward passes on the CPU among them.

    calls: for each, its name in ATen, its arguments, and its result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[Any, ...], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func.overloadpacket.__name__, args, result))
        return result

    def arguments(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each operation of this name."""
        return [given for called, given, _ in self.calls if called == name]

    def results(self, name: str) -> list[Any]:
        """Return the result of each operation of this name."""
        return [result for called, _, result in self.calls if called == name]
