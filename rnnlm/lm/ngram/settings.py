"""What can be asked of a count-based model."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from rnnlm.config import ANY, Count, Positive, needs

SmoothingName = Literal[
    "mkn", "kn", "witten-bell", "absolute", "additive", "jelinek-mercer", "katz", "stupid", "mle"
]


@dataclass(frozen=True)
class UnigramSettings:
    """A unigram with additive smoothing."""

    model: Annotated[Literal["unigram"], Meta(description="word frequencies alone")] = "unigram"
    additive_k: Annotated[
        Positive, Meta(description="added to every count (Lidstone; 1 is Laplace)")
    ] = 0.5


@dataclass(frozen=True)
class NgramSettings:
    """An n-gram model with backoff."""

    model: Annotated[Literal["ngram"], Meta(description="n-grams with backoff")] = "ngram"
    order: Annotated[
        int, Meta(ge=1, le=64, description="longest n-gram: N - 1 words of context and the next")
    ] = 5
    smoothing: Annotated[
        SmoothingName,
        Meta(
            title="NAME",
            description="the estimator: mkn, kn, katz, witten-bell, absolute, additive, "
            "jelinek-mercer, stupid or mle",
        ),
    ] = "mkn"
    interpolate: Annotated[
        bool | None,
        Meta(
            description="mix in the lower order everywhere, or back off to it where nothing was "
            "seen (absolute, kn, mkn); none: yes"
        ),
    ] = None
    prune: Annotated[
        str | list[int],
        Meta(
            title="0,0,1",
            description="leave out n-grams seen at most this many times: one number an order, the "
            "last repeats; 0,0,1 drops single trigrams",
        ),
    ] = "0"
    discounts: Annotated[
        Literal["exact", "lmplz"],
        Meta(
            description="discounts of mkn: those of the paper (exact), or exactly those of "
            "KenLM's lmplz"
        ),
    ] = "exact"
    additive_k: Annotated[
        Positive | None,
        Meta(
            description="additive: the number added to every count (1 is Laplace); none: tuned on "
            "held-out text"
        ),
    ] = None
    additive_prior: Annotated[
        Literal["uniform", "lower-order"],
        Meta(
            description="of additive: k for every word, as in textbooks, or k V in all, shared out "
            "as the lower order says",
            extra=needs(smoothing=("additive",)),
        ),
    ] = "uniform"
    backoff_factor: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="of stupid backoff, for each word of context given up",
            extra=needs(smoothing=("stupid",)),
        ),
    ] = 0.4
    threads: Annotated[
        Count | None, Meta(description="processors to count and estimate with; none: all")
    ] = None
    memory: Annotated[
        str | None,
        Meta(
            title="SIZE",
            description="most memory that the work may take, such as 500M or 2G; the rest is on "
            "disk; none: as much as it needs",
        ),
    ] = None
    temp: Annotated[
        str | None,
        Meta(
            title="DIR",
            description="folder for what does not fit in memory; an interrupted count goes on from "
            "there; none: temporary files of the system",
            extra=needs(memory=ANY, workers=ANY, dask=ANY),
        ),
    ] = None
    workers: Annotated[
        Count | None,
        Meta(
            description="processes of this machine to count with, each in as much as `memory`; "
            "none: the threads of this process count"
        ),
    ] = None
    dask: Annotated[
        str | None,
        Meta(
            title="ADDRESS",
            description="count on the workers of a Dask cluster: the address of its scheduler; all "
            "see `temp`, and each task takes `memory`; none: this machine counts",
        ),
    ] = None
