"""The workers beside this process: processes of this machine, or the workers of a Dask cluster."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from rnnlm.errors import UsageError
from rnnlm.lm.ngram.counting import dask_cluster
from rnnlm.parallel import WorkerPool, process_pool

MEMORY = "1G"  # that a task may take, unless another limit is given


@dataclass(frozen=True)
class WorkerOptions:
    """The workers that a person requests: so many `processes` of this machine, the workers of the
    Dask cluster at an `address`, or none."""

    processes: int | None = None
    address: str | None = None

    @property
    def are_wanted(self) -> bool:
        return self.processes is not None or self.address is not None

    def check(self, folder: str | None) -> None:
        """Make sure that there can be such workers. folder: the folder that the workers of a
        cluster share."""
        if self.processes is not None and self.address is not None:
            raise UsageError(
                "workers and dask cannot be combined",
                "one asks for processes of this machine, the other for a cluster",
                "leave one of them out",
            )
        if self.address is not None:
            dask_cluster.check_address(self.address, folder)

    def try_out(self, folder: str | None) -> None:
        """Check that the workers can do the work, before time goes into the steps before it."""
        self.check(folder)
        if self.address is not None and folder is not None:
            dask_cluster.try_out(self.address, folder)

    def memory(self, given: str | None) -> str | None:
        """Return the memory limit of a task: the `given` one; None: as much as it needs."""
        return MEMORY if given is None and self.are_wanted else given

    def connected(self) -> AbstractContextManager[WorkerPool | None]:
        """Return a context that provides the pool; None if no workers are wanted."""
        if self.processes is not None:
            return process_pool(self.processes)
        if self.address is not None:
            return dask_cluster.connected(self.address)
        return nullcontext()
