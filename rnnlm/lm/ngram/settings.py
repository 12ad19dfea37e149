"""Settings of count-based models."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from rnnlm.config import ANY, Count, Positive, SettingsLayer, about, needs, resolve

SmoothingName = Literal[
    "mkn",
    "kn",
    "witten-bell",
    "absolute",
    "additive",
    "jelinek-mercer",
    "interpolated",
    "katz",
    "stupid",
    "mle",
]


@dataclass(frozen=True)
class UnigramSettings:
    """A unigram with additive smoothing."""

    model: Annotated[Literal["unigram"], about("kind of model: word frequencies")] = "unigram"
    additive_k: Annotated[
        Positive, about("number to add to every count (Lidstone; 1 is Laplace)")
    ] = 0.5


@dataclass(frozen=True)
class NgramSettings:
    """An n-gram model with backoff."""

    model: Annotated[Literal["ngram"], about("kind of model: n-grams with backoff")] = "ngram"
    order: Annotated[
        int,
        about(
            "length of the longest n-grams: N - 1 words of context and the next word", ge=1, le=64
        ),
    ] = 5
    smoothing: Annotated[
        SmoothingName,
        about(
            "smoothing method: mkn (modified Kneser-Ney), kn (Kneser-Ney), katz, witten-bell, "
            "absolute, additive, jelinek-mercer, interpolated (one weight per order), stupid "
            "(stupid backoff) or mle (no smoothing); see docs/ngrams.md",
            title="NAME",
        ),
    ] = "mkn"
    interpolate: Annotated[
        bool | None,
        about(
            "interpolate with the lower order everywhere, not only for unseen n-grams "
            "(absolute, kn, mkn); default: yes, where the method can"
        ),
    ] = None
    prune: Annotated[
        str | list[int],
        about(
            "remove n-grams seen at most this often: one number per order, the last one "
            "repeats; 0,0,1 removes trigrams seen once",
            title="0,0,1",
        ),
    ] = "0"
    discounts: Annotated[
        Literal["exact", "lmplz"],
        about(
            "discounts of mkn: as in the paper (exact), or as in KenLM's lmplz",
            extra=needs(smoothing=("mkn",)),
        ),
    ] = "exact"
    additive_k: Annotated[
        Positive | None,
        about(
            "additive: number to add to every count (1 is Laplace); none: tuned on held-out text",
            extra=needs(smoothing=("additive",)),
        ),
    ] = None
    additive_prior: Annotated[
        Literal["uniform", "lower-order"],
        about(
            "additive: add k to every word, as in textbooks, or k V in all, in the lower "
            "order's proportions",
            extra=needs(smoothing=("additive",)),
        ),
    ] = "uniform"
    buckets: Annotated[
        Count | None,
        about(
            "jelinek-mercer: weights per order: one for contexts seen once, one for 2 to 3 "
            "times, 4 to 7 times, ..., the last one for all others; 1: one weight per order; "
            "none: as many as there are",
            extra=needs(smoothing=("jelinek-mercer",)),
        ),
    ] = None
    weights: Annotated[
        str | list[float],
        about(
            "interpolated: weights of the relative frequencies of each order, the lowest "
            "first, summing to one; or tuned, on held-out text",
            title="0.1,0.3,0.6",
            extra=needs(smoothing=("interpolated",)),
        ),
    ] = "tuned"
    unseen: Annotated[
        Literal["lower", "zero"],
        about(
            "interpolated: after a context that was never seen, scale the weights of the lower "
            "orders to sum to one (lower), or add nothing for it (zero), so that probabilities "
            "sum to less than one",
            extra=needs(smoothing=("interpolated",)),
        ),
    ] = "lower"
    backoff_factor: Annotated[
        float,
        about(
            "stupid backoff: factor for each word of context dropped",
            gt=0,
            lt=1,
            extra=needs(smoothing=("stupid",)),
        ),
    ] = 0.4
    quantize: Annotated[
        Annotated[int, Meta(ge=8, le=8)] | None,
        about(
            "store log-probabilities and backoff weights as codes of 8 bits, a codebook for each "
            "order above the first, and keys in 4 bytes: a model of half the size or less; none: "
            "in full precision",
            title="8",
        ),
    ] = None
    threads: Annotated[
        Count | None, about("number of processors to count and estimate with; none: all")
    ] = None
    memory: Annotated[
        str | None,
        about(
            "memory limit, such as 500M or 2G; the rest goes to disk; none: no limit", title="SIZE"
        ),
    ] = None
    temp: Annotated[
        str | None,
        about(
            "folder for data beyond the memory limit, from which an interrupted count resumes; "
            "none: the system's temporary folder",
            title="DIR",
            extra=needs(memory=ANY, workers=ANY, dask=ANY),
        ),
    ] = None
    workers: Annotated[
        Count | None,
        about(
            "number of processes to count with on this machine, each within `memory`; none: "
            "threads of this process"
        ),
    ] = None
    dask: Annotated[
        str | None,
        about(
            "address of a Dask scheduler whose workers do the counting; all must see `temp`, "
            "and each task takes `memory`; none: this machine counts",
            title="ADDRESS",
        ),
    ] = None

    @classmethod
    def implied(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the order that `weights` imply, for :func:`rnnlm.config.resolve`.

        Args:
            values: Values of the settings, by name.
        """
        weights = numbers_in(values["weights"])
        if values["smoothing"] != "interpolated" or weights in ([], ["tuned"]):
            return {}
        return {"order": len(weights)}


def check_bits(quantize: int | None) -> None:
    """Make sure that n-grams can be stored in codes of so many bits."""
    resolve([NgramSettings], [SettingsLayer("quantize", {"quantize": quantize})])


def numbers_in(given: str | list[float]) -> list[str]:
    """Return the numbers of a list, or of a text such as `0,0,1` or `0 0 1`."""
    text = given if isinstance(given, str) else ",".join(map(str, given))
    return text.replace(",", " ").split()
