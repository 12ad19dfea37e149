"""`rnnlm bench`: how fast this machine is, beside bare references in the same run; how long layers
remember; which cell is best."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnnlm.errors import UsageError

from .. import terminal
from ..bench_cells import cells
from ..bench_memory import memory
from ..options import (
    device_option,
    json_option,
    load_model,
    model_or_demo_option,
    number_option,
    or_demo,
    refuse_if,
)

if TYPE_CHECKING:
    from rnnlm.benchmarks.growth import NgramGrowth
    from rnnlm.benchmarks.training import Round, Summary
    from rnnlm.benchmarks.translating import WritingSpeed


@click.group()
def command() -> None:
    """Measure speed, memory of layers, cells under equal conditions."""


command.add_command(cells)
command.add_command(memory)


@command.command()
@click.argument("text", nargs=-1)
@click.option(
    "--task",
    type=click.Choice(["seq2seq"]),
    help="Encoder-decoders instead of a language model; TEXT is a table of pairs.",
)
@click.option(
    "--recipe",
    default=None,
    help="Whose settings to time.  [default: demo; lstm for --growth; none with --task]",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="One setting; may be repeated.",
)
@number_option("--rounds", default=5, help="Rounds after the one to warm up.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Steps of each loop in a round.  [default: 50; 10 with --task]",
)
@click.option(
    "--alone", is_flag=True, help="Our loop and its matrix products, nothing else beside it."
)
@click.option(
    "--plain-rows",
    type=click.IntRange(1),
    metavar="N",
    help="Parallel streams of the plain loop.  [default: as many as ours]",
)
@click.option("--growth", is_flag=True,
              help="How cost grows over hidden_size, layers, vocabulary and bptt_tokens instead, "
                   "on random text (minutes).")  # fmt: skip
@json_option
def train(
    text: tuple[str, ...],
    task: str | None,
    recipe: str | None,
    assignments: tuple[str, ...],
    **given: Any,
) -> None:
    """Tokens/s of training, beside a plain textbook loop.

    \b
    rnnlm bench train
    rnnlm bench train my.txt --recipe lstm --set hidden_size=1024
    rnnlm bench train --task seq2seq

    Ours, its matrix products alone, and a plain textbook loop, in turns. On TEXT, or the bundled
    corpus. Nothing is saved. With weight-drop the plain loop is AWD-LSTM as its scripts have it. On
    CUDA also the share of time in which kernels run.

    With --task seq2seq: with and without input feeding, in fp32 and in the precision that suits
    this machine, each beside torch's nn.LSTM and nn.LSTMCell; on TEXT, or on random pairs of 14
    words a side and 8,000 words in all. Tokens of both sides count.
    """
    from rnnlm.config import parse_assignments

    settings, as_json, has_growth = (
        parse_assignments(assignments),
        given.pop("as_json"),
        given.pop("growth"),
    )
    if task:
        if has_growth or given.pop("plain_rows"):
            raise UsageError(
                "--growth and --plain-rows are for language models",
                hint="leave them out, or --task",
            )
        _bench_pairs(text, recipe, settings, as_json, **given | {"steps": given["steps"] or 10})
        return
    given["steps"] = given["steps"] or 50
    if not has_growth:
        _bench_loops(text, recipe or "demo", settings, as_json, **given)
        return
    if text or given["alone"] or given["plain_rows"]:
        raise UsageError(
            "--growth makes its own text and times only our loop",
            hint="leave out TEXT, --alone and --plain-rows",
        )
    _bench_growth(recipe or "lstm", settings, given["steps"], as_json)


def _bench_loops(
    text: tuple[str, ...], recipe: str, settings: dict[str, str], as_json: bool, **given: Any
) -> None:
    import tempfile

    from rnnlm.benchmarks.training import Round, Summary, bench_training
    from rnnlm.training.plan import Request, plan

    with tempfile.TemporaryDirectory() as folder:
        request = Request(text=text, recipe=recipe, assignments=settings, output=Path(folder))
        results = list(bench_training(plan(request), **given))
    if as_json:
        terminal.print_json(asdict(results[-1]))
        return
    summary = results[-1]
    assert isinstance(summary, Summary)
    _show([result for result in results if isinstance(result, Round)], summary)


def _bench_pairs(
    text: tuple[str, ...], recipe: str | None, settings: dict[str, str], as_json: bool, **given: Any
) -> None:
    from rnnlm.benchmarks.training import bench_pairs

    columns = [
        "input feeding",
        "precision",
        "rnnlm tokens/s",
        "bare products",
        "plain loop",
        "time over products",
        "ratio to plain",
    ]
    done, cells = [], []
    for speed in bench_pairs(text, recipe, settings, **given):
        s, feeds = speed.summary, "yes" if speed.input_feeding else "no"
        terminal.say(
            f"input feeding: {feeds}, {speed.precision}: {s.tokens_per_second:,.0f} tokens/s"
        )
        done.append(speed.record())
        speeds = (s.tokens_per_second, s.products_tokens_per_second, s.plain_tokens_per_second)
        cells.append([feeds, speed.precision,
                      *("-" if each is None else f"{each:,.0f}" for each in speeds),
                      terminal.number(s.ratio_products, 3),
                      terminal.number(s.ratio_plain, 3)])  # fmt: skip
    terminal.print_json(*done) if as_json else terminal.print_table(
        columns, cells, right=columns[2:]
    )


def _bench_growth(recipe: str, settings: dict[str, str], steps: int, as_json: bool) -> None:
    from rnnlm.benchmarks.growth import bench_growth

    done = []
    for growth in bench_growth(recipe, settings, steps):
        terminal.say(f"{growth.setting} {growth.value:,}: {growth.tokens_per_second:,.0f} tokens/s")
        done.append(growth)
    records = [
        {"setting": g.setting, "value": f"{g.value:,}", "tokens/s": f"{g.tokens_per_second:,.0f}",
         "peak MB": f"{g.peak_bytes / 1e6:,.0f}",
         "time over products": terminal.number(g.ratio_products),
         "time grows by power": terminal.number(g.time_exponent),
         "memory by power": terminal.number(g.memory_exponent)}
        for g in done
    ]  # fmt: skip
    terminal.print_json(*map(asdict, done)) if as_json else terminal.print_records(
        records, left=["setting"]
    )


@command.command()
@click.argument("text", nargs=-1)
@click.option(
    "--order",
    type=click.IntRange(1, 64),
    default=5,
    show_default=True,
    metavar="N",
    help="Longest n-gram.",
)
@number_option("--rounds", default=3, help="Rounds of each size; medians are shown.")
@json_option
def ngram(text: tuple[str, ...], order: int, rounds: int, as_json: bool) -> None:
    """How time and memory of n-gram training grow.

    \b
    rnnlm bench ngram
    rnnlm bench ngram my.txt --order 3

    Of 1/16, a quarter and all of TEXT, or of the bundled corpus. Whole processes, from text to a
    saved model, and of eval on that text; beside numpy's sort, and lmplz with build_binary where
    they are on the PATH, in turns. Nothing is saved.
    """
    from rnnlm import corpora
    from rnnlm.benchmarks.growth import NgramGrowth, bench_ngram
    from rnnlm.text.corpus import Corpus

    sizes: list[NgramGrowth] = []
    sort_speed: float | None = None
    for result in bench_ngram(
        Corpus(text or (str(corpora.part("english", "train")),)), order, rounds
    ):
        if isinstance(result, NgramGrowth):
            terminal.say(
                f"{result.part} of the text: {result.tokens:,} tokens in {result.seconds:.2f} s"
            )
            sizes.append(result)
        else:
            sort_speed = result.keys_per_second
    if as_json:
        measured = {"sorted_keys_per_second": sort_speed, "sizes": list(map(asdict, sizes))}
        terminal.print_json({"order": order, "rounds": rounds} | measured)
        return
    _show_growth(sizes, sort_speed)


@command.command()
@click.argument("text", nargs=-1)
@model_or_demo_option
@click.option(
    "--tokens",
    type=click.IntRange(1),
    help="Of each mix of lengths, about.  [default: 100,000; 2,000 in all with --latency]",
)
@click.option("--rounds", type=click.IntRange(1),
              help="Rounds after the one to warm up; medians are shown.  [default: 3; 20 with "
                   "--latency]")  # fmt: skip
@click.option("--latency", is_flag=True,
              help="Measure milliseconds instead: to load the model, for the first call, a "
                   "sentence, one more word.")  # fmt: skip
@device_option
@json_option
def score(
    text: tuple[str, ...],
    model_name: str | None,
    tokens: int | None,
    rounds: int | None,
    latency: bool,
    device: str,
    as_json: bool,
) -> None:
    """Tokens/s and words/s of scoring sentences, or its latency.

    \b
    rnnlm bench score
    rnnlm bench score -m my-model my.txt
    rnnlm bench score --latency

    Measured from text to records, for several mixes of lengths; lines are cut out of TEXT, or of
    the bundled corpus. Networks are timed in turns with their bare matrix products. With --latency:
    medians and 95th percentiles of what a service waits for, one line of TEXT a call, then word by
    word.
    """
    if latency:
        _bench_latency(text, or_demo(model_name), tokens or 2_000, rounds or 20, device, as_json)
    else:
        _bench_scoring(text, or_demo(model_name), tokens or 100_000, rounds or 3, device, as_json)


def _bench_latency(
    text: tuple[str, ...], model_name: str, tokens: int, rounds: int, device: str, as_json: bool
) -> None:
    from rnnlm import corpora
    from rnnlm.benchmarks.scoring import bench_latency
    from rnnlm.text.corpus import Corpus

    corpus = Corpus(text or (str(corpora.part("english", "train")),))
    done = list(bench_latency(lambda: load_model(model_name, device), corpus, tokens, rounds))
    records = [
        {"waited for": each.step, "times": f"{each.count:,}",
         "median ms": terminal.number(each.median_ms, 3),
         "95 % within ms": terminal.number(each.p95_ms, 3)}
        for each in done
    ]  # fmt: skip
    terminal.print_json(*map(asdict, done)) if as_json else terminal.print_records(
        records, left=["waited for"]
    )


def _bench_scoring(
    text: tuple[str, ...], model_name: str, tokens: int, rounds: int, device: str, as_json: bool
) -> None:
    from rnnlm import corpora
    from rnnlm.benchmarks.scoring import bench_scoring
    from rnnlm.text.corpus import Corpus

    model = load_model(model_name, device)
    done = []
    for speed in bench_scoring(
        model, Corpus(text or (str(corpora.part("english", "train")),)), tokens, rounds
    ):
        terminal.say(f"{speed.mix} tokens a line: {speed.tokens_per_second:,.0f} tokens/s")
        done.append(speed)
    records = [
        {"tokens a line": s.mix, "lines": f"{s.lines:,}", "tokens": f"{s.tokens:,}",
         "seconds": terminal.number(s.seconds, 3),
         "tokens/s": f"{s.tokens_per_second:,.0f}", "words/s": f"{s.words_per_second:,.0f}",
         "products seconds": terminal.number(s.products_seconds, 3),
         "time over products": terminal.number(s.ratio_products, 3)}
        for s in done
    ]  # fmt: skip
    terminal.print_json(*map(asdict, done)) if as_json else terminal.print_records(
        records, left=["tokens a line"]
    )


@command.command()
@click.argument("text", nargs=-1)
@click.option(
    "-m",
    "--model",
    "model_name",
    metavar="MODEL",
    help="Model folder, or a name in ./checkpoints.  [default: random weights]",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the random weights; may be repeated.",
)
@number_option("--lines", default=256, help="The first so many lines of TEXT.")
@click.option(
    "--beam",
    type=click.IntRange(1, 1 << 16),
    default=5,
    show_default=True,
    help="Width for lines that come one by one.",
)
@number_option("--rounds", default=3, help="Rounds after the one to warm up.")
@device_option
@json_option
def translate(
    text: tuple[str, ...], model_name: str | None, assignments: tuple[str, ...], **given: Any
) -> None:
    """Tokens/s that an encoder-decoder writes, and its latency.

    \b
    rnnlm bench translate
    rnnlm bench translate -m my-model sources.txt

    Greedily, 64 lines at once; then lines of about ten words, one by one, by beam search. For the
    lines of TEXT; without a model, random weights of the default sizes write a dozen tokens for
    each of some random lines of 8,000 words.
    """
    refuse_if(
        bool(text) != bool(model_name),
        "a model and the lines that it is to read go together: name both, or neither.",
    )
    refuse_if(assignments and model_name, "--set is for random weights: leave it out, or --model.")
    from rnnlm.benchmarks import training, translating
    from rnnlm.tasks.seq2seq.settings import DecodingSettings

    device, lines, as_json, longest = (
        given.pop("device"),
        given.pop("lines"),
        given.pop("as_json"),
        DecodingSettings.max_length,
    )
    if model_name:
        from rnnlm.tasks.seq2seq.decoding import encoder_decoder
        from rnnlm.text.corpus import Corpus

        model = encoder_decoder(model_name, device)
        sources = translating.first_lines(Corpus(text), lines)
    else:
        from rnnlm.config import parse_assignments

        model = translating.random_model({"device": device} | parse_assignments(assignments))
        sources, longest = training.random_sides()[0][:lines], translating.SHORT
    _show_translating(
        list(translating.bench_translating(model, sources, max_length=longest, **given)), as_json
    )


def _show_translating(done: "list[WritingSpeed]", as_json: bool) -> None:
    records = [
        {"beam": str(s.beam), "lines at once": str(s.at_once), "lines": f"{s.lines:,}",
         "tokens": f"{s.tokens:,}",
         "tokens/s": f"{s.tokens_per_second:,.0f}", "median ms": terminal.number(s.median_ms, 3),
         "95 % within ms": terminal.number(s.p95_ms, 3)}
        for s in done
    ]  # fmt: skip
    terminal.print_json(*map(asdict, done)) if as_json else terminal.print_records(records, left=[])


def _show_growth(sizes: "list[NgramGrowth]", sort_speed: float | None) -> None:
    records = [
        {"text": s.part, "tokens": f"{s.tokens:,}", "n-grams": f"{s.ngrams:,}",
         "seconds": terminal.number(s.seconds),
         "tokens/s": f"{s.tokens_per_second:,.0f}", "peak MB": f"{s.peak_bytes / 1e6:,.0f}",
         "time grows by power": terminal.number(s.seconds_exponent),
         "memory by power": terminal.number(s.memory_exponent),
         "eval seconds": terminal.number(s.eval_seconds),
         "eval words/s": f"{s.eval_words_per_second:,.0f}"}
        for s in sizes
    ]  # fmt: skip
    compared = any(size.ratio is not None for size in sizes)
    if compared:
        for record, size in zip(records, sizes, strict=True):
            record |= {
                "lmplz + build_binary seconds": terminal.number(size.lmplz_seconds),
                "ratio": terminal.number(size.ratio, 3),
            }
    terminal.print_records(records, left=["text"])
    if sort_speed is not None:
        beside = "" if compared else "; no lmplz beside it"
        speed = f"{sort_speed / 1e6:,.1f} M 64-bit keys/s"
        click.echo(f"calibration: numpy sorts {speed}{beside}")


def _show(rounds: "list[Round]", summary: "Summary") -> None:
    columns = [
        "round",
        "rnnlm tokens/s",
        "bare products",
        "plain loop",
        "time over products",
        "ratio to plain",
    ]

    def row(name: str, speeds: Iterable[float | None], ratios: Iterable[float | None]) -> list[str]:
        whole = ["-" if speed is None else f"{speed:,.0f}" for speed in speeds]
        return [name, *whole, *(terminal.number(ratio, 3) for ratio in ratios)]

    rows = []
    for r in rounds:
        ratio = r.plain and r.ours / r.plain
        rows.append(row(str(r.number), (r.ours, r.products, r.plain), (r.products / r.ours, ratio)))
    s = summary
    speeds = (s.tokens_per_second, s.products_tokens_per_second, s.plain_tokens_per_second)
    rows.append(row("median", speeds, (s.ratio_products, s.ratio_plain)))
    terminal.print_table(columns, rows, right=columns[1:])
    click.echo(f"peak memory of our loop: {summary.peak_bytes / 1e6:,.0f} MB")
    if summary.kernel_share is not None:
        click.echo(f"of its time kernels ran: {summary.kernel_share:.0%}")
