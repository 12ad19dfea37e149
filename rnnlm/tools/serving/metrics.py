"""What a server has done and is doing, in the text form of Prometheus: requests, queues, batches,
memory. Nothing of the content of requests or answers is counted."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from rnnlm.system import held_bytes

OTHER = "other"  # the route of all paths that are none, so that nobody can make up routes
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
SENTENCES = (1, 2, 4, 8, 16, 32, 64)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one server. They last when its models are loaded anew."""

    def __init__(self) -> None:
        self.count_requests: Callable[[], int] = int
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # processor time, memory and open files, on Linux
        held = Gauge("rnnlm_memory_bytes", "Memory that the process holds", registry=registry)
        held.set_function(held_bytes)
        self._requests = Counter(
            "rnnlm_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "rnnlm_request_seconds",
            "From the head of a request to the end of its answer",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "rnnlm_batch_sentences",
            "Sentences that were scored in one call",
            buckets=SENTENCES,
            registry=registry,
        )
        self._in_work = Gauge(
            "rnnlm_requests_in_work", "Requests that are answered or wait", registry=registry
        )
        self._waiting = Gauge(
            "rnnlm_queue", "Requests that wait for a thread", ["work"], registry=registry
        )
        self._loads = Counter(
            "rnnlm_reloads", "Times that SIGUSR1 loaded the models anew", ["result"],
            registry=registry,
        )  # fmt: skip

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def scored_together(self, sentences: int) -> None:
        """Count the sentences of one call."""
        self._batches.observe(sentences)

    def reloaded(self, result: str) -> None:
        """Count a time that models were loaded anew, or failed to be."""
        self._loads.labels(result).inc()

    def watch_requests(self, count: Callable[[], int]) -> None:
        """Ask this function how many requests are answered or wait."""
        self.count_requests = count
        self._in_work.set_function(count)

    def watch_queues(self, lengths: Mapping[str, Callable[[], int]]) -> None:
        """Ask these functions how many requests wait for each kind of work."""
        for work, length in lengths.items():
            self._waiting.labels(work).set_function(length)

    def text(self) -> bytes:
        """Return all metrics, as Prometheus reads them."""
        return generate_latest(self._registry)
