"""The commands of `rnnlm inspect`, as one table: the function that finds each result, and the
options of each command besides the common ones."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from rnnlm import registry
from rnnlm.cli import metrics, options, terminal
from rnnlm.cli.declaring import (
    Command,
    Decorator,
    IntRange,
    Number,
    WholeNumber,
    list_of,
    options_of,
    section,
    stacked,
)
from rnnlm.cli.options import (
    PATH,
    check_plot,
    chosen_model,
    chosen_models,
    device_option,
    json_option,
    model_option,
    models_option,
    number_option,
    plot_option,
    refuse_given,
    refuse_if,
    typed_or_arriving,
)
from rnnlm.cli.text_options import column_options, encoding_option, text_flags
from rnnlm.tasks.labelling.formats.example import LabelledSettings

if TYPE_CHECKING:
    from rnnlm.tools.inspection.common import Inspection
    from rnnlm.tools.vectors.word_vectors import WordVectors

# ---- The common parts of all inspections: a model or several, a device, --plot and --json; how
# results are shown.

INSPECTIONS: dict[str, click.Command] = {}  # by the word after `rnnlm inspect`
# the objects that an inspection examines
Examined = Literal["nothing", "one model", "models", "vectors"]

vectors_options = stacked(
    model_option,
    click.option(
        "--which",
        type=click.Choice(["input", "output"]),
        default="input",
        show_default=True,
        help="Vectors of a model to use: its input word vectors, or the words' softmax weights "
        "(output).",
    ),
    click.option(
        "--file",
        "vectors_file",
        type=PATH,
        metavar="FILE",
        help="Use a file of word vectors, in the text format of word2vec or GloVe, instead of a "
        "model.",
    ),
)
_MODEL_OPTIONS: dict[Examined, Decorator] = {
    "nothing": stacked(),
    "one model": section("Model", model_option, device_option),
    "models": section("Models", models_option, device_option),
    "vectors": section("Vectors", vectors_options),
}


def inspection_command(
    name: str, examines: Examined, *parameters: Decorator
) -> Callable[[Callable[..., "Inspection"]], click.Command]:
    """Make a command of the function that finds an inspection, and enter it in INSPECTIONS.

    name: the word after `rnnlm inspect`. examines: the objects that the inspection examines; the
    function gets them as `model` (a name, or vectors) or `models`, with `device` or `which`.
    parameters: arguments and options of this command alone.
    """

    def enter(find: Callable[..., "Inspection"]) -> click.Command:
        def run(plot: Path | None, overwrite: bool, as_json: bool, **given: Any) -> None:
            from rnnlm.tools.inspection.common import NEEDS

            check_plot(plot, overwrite)
            if examines == "one model":
                given["model"] = chosen_model(given.pop("model_name"), NEEDS[name])
            elif examines == "models":
                given["models"] = chosen_models(given.pop("model_names"), NEEDS[name])
            elif examines == "vectors":
                vectors_file = given.pop("vectors_file")
                given["model"] = _vectors(given.pop("model_name"), vectors_file, NEEDS[name])
            show(find(**given), as_json, plot)

        # click shows the docstring of the command's function as its help.
        run.__doc__ = find.__doc__
        output = section("Output", plot_option, json_option)
        parts = [_MODEL_OPTIONS[examines], section("Details", *parameters), output]
        INSPECTIONS[name] = click.command(name, cls=Command, needs={"overwrite": ["plot"]})(
            stacked(*parts)(run)
        )
        return INSPECTIONS[name]

    return enter


def _vectors(
    model_name: str | None, vectors_file: Path | None, needs: registry.Needs
) -> "WordVectors | str":
    """Return the vectors of --file, or the name of the model."""
    if vectors_file is None:
        return chosen_model(model_name, needs)
    refuse_given(("model_name", "which"), "not valid with --file.")
    from rnnlm.tools.vectors.word_vectors import read_vectors

    return read_vectors(vectors_file)


def show(inspection: "Inspection", as_json: bool, plot: Path | None) -> None:
    """Print tables and the verdict, or one JSON object with both; save the picture if there is to
    be one."""
    if plot is not None:
        options.save_plot(inspection.figure(), plot)
    if as_json:
        terminal.print_json(inspection.to_dict() | {"verdict": inspection.verdict})
        return
    metrics.show(inspection.printed())


# ---- Options of several inspections.


def texts_option(name: str) -> Decorator:
    """Make `--on TEXT`, which may be repeated."""
    return click.option(
        "--on",
        name,
        multiple=True,
        metavar="TEXT",
        help="Text to read; may be repeated.  [default: the test split of the bundled English]",
    )


PAIR: dict[str, Any] = {"nargs": 2, "type": Number(), "show_default": True}

untrained_option = click.option(
    "--untrained", is_flag=True, help="Also show each network as it was before training."
)


def one_line(text: str) -> str:
    """Return the text that was typed or, for `-`, the only line of standard input."""
    lines = list(typed_or_arriving((text,), "read as a line", "the line"))
    refuse_if(len(lines) != 1, f"this shows a single line, but standard input has {len(lines)}.")
    return lines[0]


# ---- `rnnlm inspect gradients`: how much of the past a step feels.

OF_POSITIONS = ("texts", "lags", "positions", "probes", "exponents", "untrained", "seed")


@inspection_command(
    "gradients",
    "models",
    section(
        "Text positions",
        texts_option("texts"),
        number_option("--lags", default=100, help="Largest lag, in tokens."),
        number_option("--positions", default=1000, help="Number of positions drawn from the text."),
        number_option(
            "--probes",
            default=4,
            help="Number of random vectors per position in layers of more than 64 units; smaller "
            "layers are exact.",
        ),
        number_option(
            "--exponents", default=3, help="Number of Lyapunov exponents of each layer.", least=0
        ),
        untrained_option,
        number_option("--seed", default=0, help="Random seed of positions and vectors.", least=0),
    ),
    section(
        "One sentence",
        click.option(
            "--sentence",
            metavar="TEXT",
            help="Show instead how predictions in this sentence depend on earlier tokens.",
        ),
    ),
)
def find_gradients(
    models: tuple[str, ...], device: str, sentence: str | None, texts: tuple[str, ...], **given: Any
) -> "Inspection":
    """Show how far gradients flow back through time, by lag.

    \b
    rnnlm inspect gradients
    rnnlm inspect gradients -m my-rnn -m my-lstm --on my.txt --plot gradients.svg
    rnnlm inspect gradients --untrained
    rnnlm inspect gradients --sentence "the man who lost it went home"

    For each lag k, the table shows the size of four derivatives. The first is the derivative of a
    layer's state at t by its state at t-k (1 keeps all lengths), the second the same for its cell.
    The others are derivatives of the loss at t: by the hidden state at t-k, and by the vector of
    the token at t-k. The tables also show Lyapunov exponents and, for Elman layers, bounds from the
    singular values of W. A size vanishes if it halves within these lags, explodes if it doubles,
    and otherwise holds. --sentence shows how much each prediction depends on each earlier token.
    """
    if sentence is None:
        options.check_texts(*texts)
        from rnnlm.tools.inspection.gradients.flow import inspect_gradients

        with terminal.Progress() as progress:
            return inspect_gradients(
                models, list(texts) or None, **given, device=device, progress=progress
            )
    refuse_given(OF_POSITIONS, "not valid with --sentence.")
    from rnnlm.tools.inspection.gradients.sensitivity import inspect_sensitivity

    return inspect_sensitivity(models, one_line(sentence), device=device)


# ---- `rnnlm inspect spectrum`: eigenvalues, singular values and powers of recurrent weights.


@inspection_command("spectrum", "models", untrained_option)
def find_spectrum(**given: Any) -> "Inspection":
    """Show eigenvalues and singular values of recurrent weights.

    \b
    rnnlm inspect spectrum
    rnnlm inspect spectrum -m gru -m lstm --plot spectrum.svg
    rnnlm inspect spectrum --untrained

    Each gate of each layer has its own matrix. The plot shows the eigenvalues in the complex
    plane, with the unit circle.
    """
    from rnnlm.tools.inspection.spectrum import inspect_spectrum

    return inspect_spectrum(**given)


# ---- `rnnlm inspect gates`: gates, cells and hidden states at each word of a sentence.


@inspection_command(
    "gates",
    "one model",
    click.argument("sentence"),
    click.option(
        "--units",
        metavar="N,...",
        callback=list_of(WholeNumber.read, "numbers, such as 3,17"),
        help="Units to draw, numbered from 0.  [default: the units that vary most]",
    ),
    number_option("--unit-count", default=16, help="Number of units to draw."),
)
def find_gates(sentence: str, units: tuple[int, ...] | None, **given: Any) -> "Inspection":
    """Show the gates of a model at each token of SENTENCE; - is standard input.

    \b
    rnnlm inspect gates "the old man had no money"
    rnnlm inspect gates "the old man had no money" --units 3,17 --plot gates.svg

    The tables show the share of the state that each token rewrites, and how much the state changes
    (0: not at all, 1: completely). They also show how often each gate is saturated, and the
    derivatives of the activations. A gate is saturated within 0.1 of an end of its range: below 0.1
    or above 0.9 for a sigmoid. The plot shows hidden states, cells and gates as heat maps. This
    works for recurrent layers of any task; for an encoder-decoder it shows the encoder.
    """
    from rnnlm.tools.inspection.gates import inspect_gates

    return inspect_gates(sentence=one_line(sentence), units=units or (), **given)


OF_ONE_UNIT = ("unit", "layer", "most")


@inspection_command(
    "units",
    "one model",
    section("Text", texts_option("text"), column_options),
    section(
        "Units",
        click.option(
            "--unit",
            type=IntRange(0),
            metavar="N",
            help="Unit to draw, numbered from 0.  [default: the one that follows anything most "
            "closely]",
        ),
        number_option("--layer", default=1, help="Layer of --unit."),
        number_option("--most", default=3, help="Number of units to list for each property."),
    ),
    section(
        "Saturation",
        click.option(
            "--saturation",
            is_flag=True,
            help="Show instead how often units and gates are saturated, and which are dead.",
        ),
    ),
)
def find_units(text: tuple[str, ...], saturation: bool, **given: Any) -> "Inspection":
    """Show which units follow the features of a text.

    \b
    rnnlm inspect units -m my-lstm --on my.txt
    rnnlm inspect units -m my-lstm --on my.txt --unit 17 --plot unit.svg
    rnnlm inspect units -m my-lstm --on my.txt --saturation

    The table ranks the units of each layer by how closely they follow a property of the text:
    quotations, open brackets, the length of the line, the position in it, and numbers. r is
    Pearson's correlation, with its 95 % interval. The plot colours the text by one unit (Karpathy
    et al. 2016). A unit is a cell, or a hidden state where there is no cell. Each line is read from
    the initial state, at most 20,000 tokens in all.

    --saturation takes networks of every kind and task. A unit is saturated within 0.1 of an end of
    its range: tanh beyond -0.9 or 0.9, a sigmoid below 0.1 or above 0.9, a ReLU at 0. It is dead if
    it is saturated at every position: at every token, text (bag, cnn) or node (recursive).
    """
    from rnnlm.tools.inspection.common import sources_of
    from rnnlm.tools.inspection.units import inspect_saturation, inspect_units

    corpus = options.corpus_of(sources_of(text), text_flags(given))
    with terminal.Progress() as progress:
        if saturation:
            refuse_given(OF_ONE_UNIT, "not valid with --saturation.")
            common = {name: value for name, value in given.items() if name not in OF_ONE_UNIT}
            return inspect_saturation(text=corpus, progress=progress, **common)
        return inspect_units(text=corpus, progress=progress, **given)


# ---- `rnnlm inspect memory`: perplexity by how much of the past a model sees.


@inspection_command(
    "memory",
    "models",
    section("Text", texts_option("text"), options.context_option, column_options),
    section(
        "Measuring",
        number_option("--positions", default=2000, help="Number of tokens to predict.", least=2),
        number_option(
            "--window",
            default=200,
            help="Number of tokens read when the tokens further back than k are shuffled.",
            least=101,
        ),
        number_option("--seed", default=0, help="Random seed of positions and shuffling.", least=0),
    ),
)
def find_memory(models: tuple[str, ...], text: tuple[str, ...], **given: Any) -> "Inspection":
    """Measure how far back language models remember.

    \b
    rnnlm inspect memory
    rnnlm inspect memory -m my-lstm -m my-5gram --on test.txt --plot memory.svg
    rnnlm inspect memory --on test.txt --context reset    each line alone

    At tokens drawn at random from TEXT, this measures perplexity with only the last k tokens as
    context; k is 1, 2, 5, 10, 20, 50 and 100. At one token in four, it also measures perplexity
    with the tokens further back than k in random order. The table shows how far these are above the
    perplexity with full context at the same tokens, with 95 % intervals. The last k
    tokens are read from the initial state, without a boundary before them; if fewer precede, the
    text is read from its beginning. The effective context is the smallest k whose perplexity is
    within 1 % of that with full context.

    Models are not retrained for short contexts. Any language model will do: n-grams, networks,
    combinations of models, models that adapt (NAME+KIND).
    """
    from rnnlm.tools.inspection.common import sources_of
    from rnnlm.tools.inspection.memory import inspect_memory

    corpus = options.corpus_of(sources_of(text), text_flags(given))
    return inspect_memory(models, corpus, progress=terminal.Progress(), **given)


# ---- `rnnlm inspect cloze`: the word that belongs into a gap.


@inspection_command(
    "cloze",
    "models",
    click.argument("file", required=False, metavar="[FILE]"),
    click.option(
        "--items", is_flag=True, help="Show each item with the likeliest words for its gap."
    ),
)
def find_cloze(**given: Any) -> "Inspection":
    """Measure how well language models fill the gaps of FILE.

    \b
    rnnlm inspect cloze
    rnnlm inspect cloze my-items.tsv -m my-lstm -m my-5gram --plot cloze.svg
    rnnlm inspect cloze lessons --items

    FILE is a table with the columns text (___ marks the gap) and answer. It may also have distance
    (words between the gap and the word that decides), kind, and rival (a wrong word to compare with
    the answer). The default is 200 items in the vocabulary of the bundled English; `lessons` is 20
    items modelled on well-known examples from lectures.

    Models read only the words before the gap, each text from the initial state. Accuracy is the
    share of answers among the 1, 5 and 10 likeliest next words, by distance and kind, with 95 %
    Wilson intervals. Surprisals are in bits. Words that consist of several pieces are ranked as
    whole words. Answers outside a model's vocabulary count as missed and are listed.
    """
    from rnnlm.tools.inspection.cloze import inspect_cloze

    return inspect_cloze(**given)


# ---- `rnnlm inspect beam`: a beam search as a tree.


@inspection_command(
    "beam",
    "one model",
    click.argument("line", default=""),
    number_option("--beam", default=3, help="Number of continuations kept at each step."),
    number_option("--max-tokens", default=4, help="Longest continuation, in tokens."),
)
def find_beam(line: str, **given: Any) -> "Inspection":
    """Show a beam search step by step; - reads LINE from standard input.

    \b
    rnnlm inspect beam "the old man" --plot beam.svg
    rnnlm inspect beam -m fra "how are you ?" --beam 2 --max-tokens 8

    LINE is the beginning of a line, or the source of an encoder-decoder. At each step, each kept
    continuation is extended by its likeliest tokens, and the best of all are kept. The sentence
    below the table compares the result with greedy search, which keeps one. Texts are ranked by
    their probability, without a length penalty; those that are cut off at --max-tokens count, too.
    """
    from rnnlm.tools.inspection.beam import inspect_beam

    return inspect_beam(line=one_line(line), **given)


# ---- `rnnlm inspect neighbours`: the words whose vectors lie nearest to a word's, or to the sum of
# an analogy.


@inspection_command(
    "neighbours",
    "vectors",
    click.argument("words", nargs=-1, required=True, metavar="WORD..."),
    number_option("-n", "--count", default=10, help="Number of neighbours to show for each word."),
)
def find_neighbours(words: tuple[str, ...], **given: Any) -> "Inspection":
    """Show the words nearest to WORD, or to A - B + C.

    \b
    rnnlm inspect neighbours winter
    rnnlm inspect neighbours king queen -m my-lstm --plot near.svg
    rnnlm inspect neighbours king - man + woman       an analogy
    rnnlm inspect neighbours king --file vectors.txt -n 20

    Similarity is the cosine of the angle between two vectors: 1 in the same direction, 0 at right
    angles. In A - B + C, each vector is scaled to length 1, and A, B and C are excluded as answers
    (Mikolov et al. 2013, Levy & Goldberg 2014: 3CosAdd). The sentence below the table says whether
    one of them would have come first.
    """
    from rnnlm.tools.inspection.similarity import inspect_analogy, inspect_neighbours

    if words[1::2] == ("-", "+") and len(words) == 5:
        return inspect_analogy(words=words[::2], **given)
    return inspect_neighbours(words=words, **given)


# ---- `rnnlm inspect similarity`: cosines of lines, and word vectors beside people's ratings.


@inspection_command(
    "similarity",
    "vectors",
    click.argument("lines", nargs=-1, metavar="[LINE LINE...]"),
    click.option(
        "--ratings",
        metavar="FILE",
        help="Rank the pairs of words of FILE instead, as people rated them. `ratings` is bundled.",
    ),
)
def find_similarity(lines: tuple[str, ...], ratings: str | None, **given: Any) -> "Inspection":
    """Compare every two LINEs by the cosine of their vectors; - is standard input.

    \b
    rnnlm inspect similarity "good day" "great day"
    rnnlm inspect similarity --ratings ratings
    rnnlm inspect similarity --ratings MEN_dataset_natural_form_full --file my.vec

    The table shows cosines of three vectors of a line: the counts of its words (one-hot), the sum
    of its word vectors at length 1, and the state of a network that has read it; - if a line has no
    known words, or only unknown words differ. --ratings shows Spearman's correlation of people's
    ratings with cosines of word vectors: FILE is a table with two words and a number in each row,
    such as MEN, SimLex-999 and WordSim-353; the answer names the columns. Pairs with a word that
    has no vector are left out. The interval is over pairs, 95 %.
    """
    from rnnlm.tools.inspection.similarity import inspect_similarity

    refuse_if(lines and ratings, "give either lines or --ratings, not both.")
    compared = list(typed_or_arriving(lines, "read as a line", "a line"))
    return inspect_similarity(lines=compared, ratings=ratings, **given)


# ---- `rnnlm inspect probe`: what each layer of a network knows of labels of words or texts.


@inspection_command(
    "probe",
    "one model",
    click.argument("data", default="words-and-tags", metavar="[DATA]"),
    section(
        "Data",
        click.option(
            "--label-column", metavar="NAME", help="Column of the labels.  [default: the only one]"
        ),
        click.option(
            "--test-data",
            multiple=True,
            metavar="FILE",
            help="Data to test on. May be repeated.  [default: the test split of a bundled corpus; "
            "else a fifth of the sentences]",
        ),
        click.option(
            "--texts", is_flag=True, help="The labels belong to whole texts, not to words."
        ),
        options_of(LabelledSettings, "format", declared=["--input-format"], type=str),
        options_of(LabelledSettings, "column"),
        encoding_option,
        number_option(
            "--most-items",
            default=5000,
            help="Maximum number of words (or texts) to use in training and in testing; larger "
            "data are sampled by sentence.",
        ),
        number_option(
            "--seed",
            default=1,
            help="Random seed of sampling, control labels and the untrained network.",
            least=None,
        ),
    ),
)
def find_probe(model: str, data: str, texts: bool, device: str, **given: Any) -> "Inspection":
    """Measure how well each layer predicts labels, by linear probes.

    \b
    rnnlm inspect probe words-and-tags --label-column upos
    rnnlm inspect probe -m my-model news.conllu --label-column upos --json
    rnnlm inspect probe travel --label-column intent --plot intent.svg

    DATA is a file of labels as rnnlm train --task tagging reads it, or a bundled corpus. A linear
    classifier learns the labels from the vectors of each layer. For comparison, it also learns them
    from the embeddings and from an untrained network with the same settings. In a control task,
    each word has a random label (Hewitt & Liang 2019). Selectivity is accuracy minus the control's
    accuracy.
    """
    options.check_texts(data, *given["test_data"])
    from rnnlm.tools.inspection.probing import Level, inspect_probe

    names = ("format", "column", "encoding_errors")
    reading = options.without_none({name: given.pop(name) for name in names})
    level: Level | None = "text" if texts else None
    with terminal.Progress() as say:
        return inspect_probe(
            model, data, level=level, reading=reading, device=device, progress=say, **given
        )


# ---- `rnnlm inspect step`: a network of a few units, computed by hand.


@inspection_command(
    "step",
    "nothing",
    click.argument("file", required=False, metavar="[FILE]"),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="NAME=VALUE",
        help="Replace an entry of FILE, in JSON or as text: W='[[0, 1], [2, 0]]', "
        "activation=tanh. May be repeated.",
    ),
    click.option(
        "--rate",
        type=Number(),
        default=0.1,
        show_default=True,
        help="Learning rate of the gradient descent step whose loss is shown.",
    ),
)
def find_step(file: str | None, assignments: tuple[str, ...], rate: float) -> "Inspection":
    """Compute a small Elman network step by step.

    \b
    rnnlm inspect step
    rnnlm inspect step --set 'W=[[0, 1], [2, 0]]' --plot step.svg
    rnnlm inspect step mine.toml --set "words=rusty can" --json
    rnnlm inspect step --set "labels=DET ADJ NOUN X" --set "targets=DET ADJ NOUN"

    This prints all numbers of a = x U + h' W + b, h = f(a) and y = softmax(h V + c). It also prints
    the loss of each prediction, and the gradients of states and weights through time. No model is
    needed. FILE is TOML or JSON with words, U, W and V. Optional entries are targets, labels (what
    is predicted, if not words), vectors (x of each word, by default one-hot), b, c, initial (zeros)
    and activation (tanh). The default is "a rusty can" through two units.
    """
    from rnnlm.tools.inspection.step import inspect_step

    return inspect_step(file, assignments=assignments, rate=rate)


# ---- `rnnlm inspect activations`: where activation functions saturate.


@inspection_command(
    "activations",
    "nothing",
    click.argument("names", nargs=-1, metavar="[NAME]..."),
    click.option(
        "--share",
        type=Number(),
        default=0.1,
        show_default=True,
        help="Share of its largest derivative below which a function counts as saturated.",
    ),
    click.option(
        "--span", **PAIR, metavar="LOW HIGH", default=(-6.0, 6.0), help="Range of inputs to show."
    ),
)
def find_activations(
    names: tuple[str, ...], share: float, span: tuple[float, float]
) -> "Inspection":
    """Show activation functions, their derivatives, and where they saturate.

    \b
    rnnlm inspect activations --plot activations.svg
    rnnlm inspect activations sigmoid tanh --share 0.01

    NAME is sigmoid, tanh, relu, elu, leaky_relu or "2 sigmoid" (the gates of a Mogrifier); without
    one, all are shown. No model is needed. --json holds the curves.
    """
    from rnnlm.tools.inspection.activations import inspect_activations

    return inspect_activations(names, share=share, span=span)


# ---- `rnnlm inspect surface`: the error surface of one recurrent unit, and gradient descent on it.


@inspection_command(
    "surface",
    "nothing",
    click.option(
        "--weights", **PAIR, metavar="LOW HIGH", default=(4.2, 5.6), help="Range of the weight w."
    ),
    click.option(
        "--biases", **PAIR, metavar="LOW HIGH", default=(-3.0, -1.8), help="Range of the bias b."
    ),
    click.option(
        "--grid",
        type=WholeNumber(),
        default=200,
        show_default=True,
        metavar="N",
        help="Number of grid lines in each direction.",
    ),
    click.option(
        "--steps",
        type=WholeNumber(),
        default=50,
        show_default=True,
        metavar="N",
        help="Number of steps of the unit.",
    ),
    click.option(
        "--target",
        type=Number(),
        default=0.7,
        show_default=True,
        help="Target output after these steps.",
    ),
    click.option("--initial", type=Number(), default=0.5, show_default=True, help="Initial state."),
    click.option(
        "--start",
        **PAIR,
        metavar="W B",
        default=(5.0, -2.4),
        help="Starting point of gradient descent.",
    ),
    click.option(
        "--rate",
        type=Number(),
        default=0.1,
        show_default=True,
        help="Learning rate of gradient descent.",
    ),
    click.option(
        "--clip",
        type=Number(),
        default=0.5,
        show_default=True,
        help="Norm to which the clipped path scales down longer gradients.",
    ),
    click.option(
        "--updates",
        type=WholeNumber(),
        default=400,
        show_default=True,
        metavar="N",
        help="Number of gradient descent updates.",
    ),
)
def find_surface(**given: Any) -> "Inspection":
    """Show the error surface of one recurrent unit, with its walls.

    \b
    rnnlm inspect surface --plot surface.svg
    rnnlm inspect surface --start 5.5 -2.2 --rate 0.3 --clip 1

    One unit without input, x = w s(x) + b, should reach the target after some steps; the error is
    squared. Over w and b, the error has walls at which gradients explode. Two paths of gradient
    descent start at the same point; one of them clips long gradients (Pascanu, Mikolov & Bengio
    2013, figure 6). No model is needed. --json holds the whole grid.
    """
    from rnnlm.tools.inspection.surface import inspect_surface

    return inspect_surface(**given)


# ---- `rnnlm inspect gradcheck`: gradients beside difference quotients.


@inspection_command(
    "gradcheck",
    "one model",
    click.option(
        "--on",
        "text",
        metavar="TEXT",
        multiple=True,
        help="Text or data to read; may be repeated.  [default: a bundled test split]",
    ),
    click.option(
        "--step",
        type=Number(),
        default=1e-5,
        show_default=True,
        metavar="H",
        help="Step h of the difference quotients.",
    ),
    number_option(
        "--tokens", default=40, help="Number of tokens of the text that f covers.", least=None
    ),
    number_option("--seed", default=0, help="Random seed of noise words.", least=None),
)
def find_gradcheck(model: str, text: tuple[str, ...], **given: Any) -> "Inspection":
    """Check gradients against (f(w + h) - f(w - h)) / 2h.

    \b
    rnnlm inspect gradcheck
    rnnlm inspect gradcheck -m my-model --on my.txt --tokens 20

    f is the training loss on the first tokens of TEXT, in float64, without dropout; sampled losses
    draw the same noise words each time. All weights of a matrix change together. The tables show
    the largest gradient of each matrix, and the computation for one weight step by step.
    """
    options.check_texts(*text)
    from rnnlm.tools.inspection.gradcheck import inspect_gradcheck

    return inspect_gradcheck(model, list(text) or None, **given)
