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
from ..bench_compact import compact
from ..bench_filter import filtering
from ..bench_memory import memory
from ..bench_scale import scale
from ..bench_serving import serving
from ..options import (
    chosen_model,
    device_option,
    json_option,
    load_model,
    model_option,
    number_option,
    refuse_if,
)

if TYPE_CHECKING:
    from rnnlm.benchmarks.growth import NgramGrowth
    from rnnlm.benchmarks.training import Round, Summary
    from rnnlm.benchmarks.translating import WritingSpeed
    from rnnlm.text.corpus import Corpus


@click.group()
def command() -> None:
    """Measure speed, memory of layers, cells under equal conditions."""


command.add_command(cells)
command.add_command(compact)
command.add_command(filtering)
command.add_command(memory)
command.add_command(scale)
command.add_command(serving)


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
    help="Recipe whose settings to time.  [default: demo; lstm for --growth; none with --task]",
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
    "--alone", is_flag=True, help="Time our loop and its matrix products, without the plain loop."
)
@click.option(
    "--plain-rows",
    type=click.IntRange(1),
    metavar="N",
    help="Parallel streams of the plain loop.  [default: as many as ours]",
)
@click.option("--growth", is_flag=True,
              help="Measure instead how cost grows with hidden_size, layers, vocabulary and "
                   "bptt_tokens, on random text (minutes).")  # fmt: skip
@json_option
def train(
    text: tuple[str, ...],
    task: str | None,
    recipe: str | None,
    assignments: tuple[str, ...],
    **given: Any,
) -> None:
    """Measure tokens/s of training, beside a plain textbook loop.

    \b
    rnnlm bench train
    rnnlm bench train my.txt --recipe lstm --set hidden_size=1024
    rnnlm bench train --task seq2seq

    Our loop, its matrix products alone, and a plain textbook loop take turns, on TEXT or the
    bundled corpus. Nothing is saved. With weight-drop the plain loop is AWD-LSTM as in its authors'
    scripts. On CUDA, the share of time in which kernels run is shown, too.

    With --task seq2seq: with and without input feeding, in fp32 and in the precision that suits
    this machine, each beside torch's nn.LSTM and nn.LSTMCell; on TEXT, or on random pairs of 14
    words a side and 8,000 words in all. Tokens of both sides count.
    """
    from rnnlm.config import parse_assignments

    settings = parse_assignments(assignments)
    as_json = given.pop("as_json")
    has_growth = given.pop("growth")
    if task:
        plain_rows = given.pop("plain_rows")
        if has_growth or plain_rows:
            raise UsageError(
                "--growth and --plain-rows are for language models",
                hint="leave them out, or --task",
            )
        given["steps"] = given["steps"] or 10
        _bench_pairs(text, recipe, settings, as_json, **given)
        return
    given["steps"] = given["steps"] or 50
    if not has_growth:
        _bench_loops(text, recipe or "demo", settings, as_json, **given)
        return

    # Growth is measured on random text, for which these options mean nothing.
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
        *rounds, summary = bench_training(plan(request), **given)
    if as_json:
        terminal.print_json(asdict(summary))
        return
    assert isinstance(summary, Summary)
    _show([each for each in rounds if isinstance(each, Round)], summary)


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
    done, rows = [], []
    for speed in bench_pairs(text, recipe, settings, **given):
        feeds = "yes" if speed.input_feeding else "no"
        ours = f"{speed.summary.tokens_per_second:,.0f}"
        terminal.say(f"input feeding: {feeds}, {speed.precision}: {ours} tokens/s")
        done.append(speed.record())
        rows.append(
            [
                feeds,
                speed.precision,
                ours,
                terminal.cell(speed.summary.products_tokens_per_second, ",.0f"),
                terminal.cell(speed.summary.plain_tokens_per_second, ",.0f"),
                terminal.number(speed.summary.ratio_products, 3),
                terminal.number(speed.summary.ratio_plain, 3),
            ]
        )
    if as_json:
        terminal.print_json(*done)
    else:
        terminal.print_table(columns, rows, right=columns[2:])


def _bench_growth(recipe: str, settings: dict[str, str], steps: int, as_json: bool) -> None:
    from rnnlm.benchmarks.growth import bench_growth

    done, records = [], []
    for growth in bench_growth(recipe, settings, steps):
        speed = f"{growth.tokens_per_second:,.0f}"
        terminal.say(f"{growth.setting} {growth.value:,}: {speed} tokens/s")
        done.append(growth)
        records.append(
            {
                "setting": growth.setting,
                "value": f"{growth.value:,}",
                "tokens/s": speed,
                "peak MB": f"{growth.peak_bytes / 1e6:,.0f}",
                "time over products": terminal.number(growth.ratio_products),
                "time grows by power": terminal.number(growth.time_exponent),
                "memory by power": terminal.number(growth.memory_exponent),
            }
        )
    if as_json:
        terminal.print_json(*map(asdict, done))
    else:
        terminal.print_records(records, left=["setting"])


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
    """Measure how time and memory of n-gram training grow.

    \b
    rnnlm bench ngram
    rnnlm bench ngram my.txt --order 3

    An n-gram model is trained on 1/16, a quarter and all of TEXT, or of the bundled corpus, by a
    separate process from text to saved model, and evaluated on that text; beside numpy's sort, and
    lmplz with build_binary where they are on the PATH, in turns. Nothing is saved.
    """
    from rnnlm.benchmarks.growth import NgramGrowth, bench_ngram

    sizes: list[NgramGrowth] = []
    sort_speed: float | None = None
    for result in bench_ngram(_corpus(text), order, rounds):
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


def _corpus(text: tuple[str, ...]) -> "Corpus":
    """Return the text, or the bundled one if there is none."""
    import rnnlm.corpora as corpora
    from rnnlm.text.corpus import Corpus

    return Corpus(text or (str(corpora.part("english", "train")),))


@command.command()
@click.argument("text", nargs=-1)
@model_option
@click.option(
    "--tokens",
    type=click.IntRange(1),
    help="Tokens of each mix of lengths, about.  [default: 100,000; 2,000 in all with --latency]",
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
    """Measure the speed of scoring sentences, or its latency.

    \b
    rnnlm bench score
    rnnlm bench score -m my-model my.txt
    rnnlm bench score --latency

    Tokens/s and words/s from text to records, for several mixes of lengths; lines are cut out of
    TEXT, or of the bundled corpus. Networks are timed in turns with their bare matrix products.
    With --latency: medians and 95th percentiles of what a service waits for, one line of TEXT a
    call, then word by word.
    """
    name = chosen_model(model_name)
    if latency:
        _bench_latency(text, name, tokens or 2_000, rounds or 20, device, as_json)
    else:
        _bench_scoring(text, name, tokens or 100_000, rounds or 3, device, as_json)


def _bench_latency(
    text: tuple[str, ...], model_name: str, tokens: int, rounds: int, device: str, as_json: bool
) -> None:
    from rnnlm.benchmarks.scoring import bench_latency

    done = list(
        bench_latency(lambda: load_model(model_name, device), _corpus(text), tokens, rounds)
    )
    if as_json:
        terminal.print_json(*map(asdict, done))
        return
    records = []
    for each in done:
        records.append(
            {
                "waited for": each.step,
                "times": f"{each.count:,}",
                "median ms": terminal.number(each.median_ms, 3),
                "95 % within ms": terminal.number(each.p95_ms, 3),
            }
        )
    terminal.print_records(records, left=["waited for"])


def _bench_scoring(
    text: tuple[str, ...], model_name: str, tokens: int, rounds: int, device: str, as_json: bool
) -> None:
    from rnnlm.benchmarks.scoring import bench_scoring

    model = load_model(model_name, device)
    done, records = [], []
    for speed in bench_scoring(model, _corpus(text), tokens, rounds):
        terminal.say(f"{speed.mix} tokens a line: {speed.tokens_per_second:,.0f} tokens/s")
        done.append(speed)
        records.append(
            {
                "tokens a line": speed.mix,
                "lines": f"{speed.lines:,}",
                "tokens": f"{speed.tokens:,}",
                "seconds": terminal.number(speed.seconds, 3),
                "tokens/s": f"{speed.tokens_per_second:,.0f}",
                "words/s": f"{speed.words_per_second:,.0f}",
                "products seconds": terminal.number(speed.products_seconds, 3),
                "time over products": terminal.number(speed.ratio_products, 3),
            }
        )
    if as_json:
        terminal.print_json(*map(asdict, done))
    else:
        terminal.print_records(records, left=["tokens a line"])


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
@number_option("--lines", default=256, help="The number of lines of TEXT, the first ones.")
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
    """Measure the speed of an encoder-decoder, and its latency.

    \b
    rnnlm bench translate
    rnnlm bench translate -m my-model sources.txt

    It writes greedily, 64 lines at once; then lines of about ten words, one by one, by beam search.
    Sources are the lines of TEXT; without a model, random weights of the default sizes write a
    dozen tokens for each of some random lines of 8,000 words.
    """
    refuse_if(bool(text) != bool(model_name), "a model needs lines to read: name both, or neither.")
    refuse_if(assignments and model_name, "--set is for random weights: leave out --set or -m.")
    from rnnlm.benchmarks import training, translating
    from rnnlm.tasks.seq2seq.options import DecodingSettings

    device, lines, as_json = given.pop("device"), given.pop("lines"), given.pop("as_json")
    if model_name:
        from rnnlm.tasks.seq2seq.decoding import encoder_decoder
        from rnnlm.text.corpus import Corpus

        model = encoder_decoder(model_name, device)
        sources = translating.first_lines(Corpus(text), lines)
        longest = DecodingSettings.max_length
    else:
        from rnnlm.config import parse_assignments

        # Random weights hardly ever end a line: each is cut after about a dozen tokens.
        model = translating.random_model({"device": device} | parse_assignments(assignments))
        sources = training.random_sides()[0][:lines]
        longest = translating.SHORT
    speeds = translating.bench_translating(model, sources, max_length=longest, **given)
    _show_translating(list(speeds), as_json)


def _show_translating(done: "list[WritingSpeed]", as_json: bool) -> None:
    if as_json:
        terminal.print_json(*map(asdict, done))
        return
    records = []
    for speed in done:
        records.append(
            {
                "beam": str(speed.beam),
                "lines at once": str(speed.at_once),
                "lines": f"{speed.lines:,}",
                "tokens": f"{speed.tokens:,}",
                "tokens/s": f"{speed.tokens_per_second:,.0f}",
                "median ms": terminal.number(speed.median_ms, 3),
                "95 % within ms": terminal.number(speed.p95_ms, 3),
            }
        )
    terminal.print_records(records, left=[])


def _show_growth(sizes: "list[NgramGrowth]", sort_speed: float | None) -> None:
    has_lmplz = any(size.ratio is not None for size in sizes)
    records = []
    for size in sizes:
        record = {
            "text": size.part,
            "tokens": f"{size.tokens:,}",
            "n-grams": f"{size.ngrams:,}",
            "seconds": terminal.number(size.seconds),
            "tokens/s": f"{size.tokens_per_second:,.0f}",
            "peak MB": f"{size.peak_bytes / 1e6:,.0f}",
            "time grows by power": terminal.number(size.seconds_exponent),
            "memory by power": terminal.number(size.memory_exponent),
            "eval seconds": terminal.number(size.eval_seconds),
            "eval words/s": f"{size.eval_words_per_second:,.0f}",
        }
        if has_lmplz:
            record["lmplz + build_binary seconds"] = terminal.number(size.lmplz_seconds)
            record["ratio"] = terminal.number(size.ratio, 3)
        records.append(record)
    terminal.print_records(records, left=["text"])

    # Numbers of two machines compare only beside something that both did.
    if sort_speed is not None:
        without = "" if has_lmplz else "; no lmplz beside it"
        speed = f"{sort_speed / 1e6:,.1f} M 64-bit keys/s"
        click.echo(f"calibration: numpy sorts {speed}{without}")


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
        cells = [terminal.cell(speed, ",.0f") for speed in speeds]
        return [name, *cells, *(terminal.number(ratio, 3) for ratio in ratios)]

    # With --alone there is no plain loop to compare with.
    rows = []
    for each in rounds:
        ratio = each.plain and each.ours / each.plain
        speeds = (each.ours, each.products, each.plain)
        rows.append(row(str(each.number), speeds, (each.products / each.ours, ratio)))
    medians = (
        summary.tokens_per_second,
        summary.products_tokens_per_second,
        summary.plain_tokens_per_second,
    )
    rows.append(row("median", medians, (summary.ratio_products, summary.ratio_plain)))
    terminal.print_table(columns, rows, right=columns[1:])
    click.echo(f"peak memory of our loop: {summary.peak_bytes / 1e6:,.0f} MB")
    if summary.kernel_share is not None:
        click.echo(f"of its time kernels ran: {summary.kernel_share:.0%}")
