"""Settings of a filter: the documents it keeps, by perplexity or by language, and the columns it
adds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rnnlm.config import NonNegative, ValidatedSettings, about
from rnnlm.errors import SettingsError, UsageError, joined_message, keyword, nearest

BUCKETS = ("head", "middle", "tail")
KEPT = "kept"  # the one group of a filter by thresholds alone
AGAINST = "against"  # the label of the general model, and its option
DIFFERENCE = "difference"  # the column for it
NONE = "none"  # the group of documents in none of the languages
# groups that are never written: beyond a threshold, without words
OUTSIDE, EMPTY = "outside", "empty"


@dataclass(frozen=True)
class FilterSettings(ValidatedSettings):
    """Settings that decide which documents are kept.

    quantiles: quantiles of the perplexities of a reference, the two borders between head, middle
    and tail, as in CCNet (Wenzek et al. 2020, "CCNet: Extracting High Quality Monolingual Datasets
    from Web Crawl Data"; with the defaults of its program). cutoffs: these borders themselves,
    instead of a reference. A document is in the head below the first border, in the middle below
    the second, else in the tail. min_perplexity, max_perplexity: a document beyond them is dropped,
    or in none of the languages. min_probability: a document whose likeliest language is less
    probable is in none. max_difference: a document is dropped if its cross-entropy under the model,
    in bits per token or byte, exceeds that under a general model by more (Moore & Lewis 2010,
    "Intelligent Selection of Language Model Training Data"). keep: the buckets or languages that
    are written; None: all. The columns are added to tables.
    """

    quantiles: Annotated[
        tuple[float, ...], about("quantiles of the reference at which head and middle end")
    ] = (0.3, 0.6)
    cutoffs: Annotated[
        tuple[float, ...] | None,
        about("perplexities at which head and middle end, instead of a reference"),
    ] = None
    min_perplexity: Annotated[
        NonNegative | None, about("drop documents with a lower perplexity")
    ] = None
    max_perplexity: Annotated[
        NonNegative | None,
        about(
            "drop documents with a higher perplexity; with several models, assign them to no "
            "language"
        ),
    ] = None
    min_probability: Annotated[
        float,
        about(
            "with several models: assign a document to no language if the likeliest one has a "
            "lower probability",
            ge=0,
            le=1,
        ),
    ] = 0.5
    max_difference: Annotated[
        float | None,
        about(
            "with a general model: drop documents whose bits per token (per byte if the tokenizers "
            "differ) exceed those of that model by more"
        ),
    ] = None
    keep: Annotated[tuple[str, ...] | None, about("buckets or languages to write; none: all")] = (
        None
    )
    perplexity_column: Annotated[
        str, about("name of the column for the perplexity", title="NAME")
    ] = "perplexity"
    bucket_column: Annotated[str, about("name of the column for the bucket", title="NAME")] = (
        "bucket"
    )
    language_column: Annotated[str, about("name of the column for the language", title="NAME")] = (
        "language"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pair("quantiles", self.quantiles, below=1.0)
        if self.quantiles[0] == self.quantiles[1]:
            raise SettingsError(
                f"quantiles = {self.quantiles[0]:g},{self.quantiles[1]:g} is not valid",
                "they are equal, and no document would be in the middle",
                "for two groups, write their border as " + keyword("max_perplexity"),
            )
        if self.cutoffs is not None:
            _check_pair("cutoffs", self.cutoffs)
        for name in ("perplexity_column", "bucket_column", "language_column"):
            if not getattr(self, name):
                raise SettingsError(f"{name} is empty", "a column needs a name")
        low, high = self.min_perplexity, self.max_perplexity
        if low is not None and high is not None and low > high:
            raise SettingsError(
                f"min_perplexity = {low:g} is above max_perplexity = {high:g}",
                "no document would be left",
            )


def _check_pair(name: str, values: tuple[float, ...], below: float = float("inf")) -> None:
    is_ascending = len(values) == 2 and 0 <= values[0] <= values[1] < below
    if not is_ascending:
        shown = ",".join(f"{value:g}" for value in values)
        needed = f"two ascending numbers below {below:g} are needed"
        raise SettingsError(f"{name} = {shown} is not valid", needed.replace(" below inf", ""))


@dataclass(frozen=True)
class OutputLayout:
    """The layout of the output. groups: groups that documents are sorted into; kept: groups that
    are written, each in its own folder if the filter has folders."""

    groups: tuple[str, ...]
    kept: tuple[str, ...]
    has_folders: bool

    def paths(self, folder: Path, name: str) -> dict[str, Path]:
        """Return the files for the documents of the shard called `name`, by group."""
        if not self.has_folders:
            return dict.fromkeys(self.kept, folder / name)
        return {group: folder / group / name for group in self.kept}


@dataclass(frozen=True)
class FilterRule:
    """A filter's decision in numbers.

    groups: groups that documents are sorted into. kept: groups that are written. column: the value
    that marks a document's group in a table; None: there is one group. cutoffs: the borders between
    groups of perplexity. languages: groups are languages, the last one is none of them.
    max_difference: None: there is no general model to compare with.
    """

    groups: tuple[str, ...]
    kept: tuple[str, ...]
    column: str | None = None
    cutoffs: tuple[float, ...] = ()
    languages: tuple[str, ...] = ()
    min_perplexity: float = 0.0
    max_perplexity: float = float("inf")
    min_probability: float = 0.0
    max_difference: float | None = None

    @property
    def layout(self) -> OutputLayout:
        """Where documents are written: by group, unless there is one."""
        return OutputLayout(self.groups, self.kept, self.column is not None)


def rule_of(
    settings: FilterSettings, languages: tuple[str, ...] = (), has_buckets: bool = False,
    is_against: bool = False,
) -> FilterRule:  # fmt: skip
    """Return the rule of these settings; refuse a request that contradicts itself.

    languages: names of the models, if there are several. has_buckets: whether there are buckets;
    their cutoffs may not be known yet. is_against: whether there is a general model.
    """
    if is_against != (settings.max_difference is not None):
        raise UsageError(
            keyword(AGAINST) + " and " + keyword("max_difference") + " need each other"
        )
    names = ("min_perplexity", "max_perplexity", "max_difference")
    values: dict[str, Any] = {name: getattr(settings, name) for name in names}
    limits = {name: value for name, value in values.items() if value is not None}

    # By language: each document has the group of its language, or of none.
    if languages:
        if has_buckets or is_against:
            raise UsageError(
                ("a general model is" if is_against else "buckets are") + " for one model",
                "several models are for telling languages apart",
                "filter by language first, then each language by its own model",
            )
        groups = (*languages, NONE)
        for name in languages:
            if name in (NONE, OUTSIDE, EMPTY):
                raise UsageError(
                    f"{name} cannot be the name of a language",
                    "that name is for all other documents",
                    "choose another name",
                )
        return FilterRule(
            groups,
            _kept(settings, groups),
            settings.language_column,
            languages=languages,
            min_probability=settings.min_probability,
            **limits,
        )

    if has_buckets:
        return FilterRule(
            BUCKETS,
            _kept(settings, BUCKETS),
            settings.bucket_column,
            settings.cutoffs or (),
            **limits,
        )

    # By thresholds alone.
    if settings.keep is not None:
        raise UsageError(
            "keep is for buckets or languages",
            "thresholds keep what is between them",
            "leave it out, or give a reference or several models",
        )
    if not limits:
        ways = ("max_perplexity", "min_perplexity", "reference", "cutoffs", AGAINST)
        raise UsageError(
            "nothing says which documents to keep",
            hint="give "
            + joined_message(", ", map(keyword, ways))
            + ", or a model for each language",
        )
    return FilterRule((KEPT,), (KEPT,), **limits)


def _kept(settings: FilterSettings, groups: tuple[str, ...]) -> tuple[str, ...]:
    if settings.keep is None:
        return groups
    if not settings.keep:
        raise SettingsError("keep is empty", "no document would be left")
    for name in settings.keep:
        if name not in groups:
            raise SettingsError(f"keep: there is no {name!r}", hint=nearest(name, groups))
    return tuple(group for group in groups if group in settings.keep)
