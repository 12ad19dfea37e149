import json
import os
import shutil
import subprocess
import types
from dataclasses import asdict

import pytest

from rnnlm.benchmarks import growth, processes, serving, textbook, training
from rnnlm.errors import RnnlmError
from rnnlm.neural import device
from rnnlm.neural.fitting import state
from support.forked import Forked

TINY = (
    "--set",
    "hidden_size=8",
    "--set",
    "embedding_size=8",
    "--set",
    "batch_rows=4",
    "--set",
    "precision=fp32",
)


def test_loops_take_turns_and_nothing_is_saved(rnnlm, models, here):
    shown = rnnlm("bench", "train", models.text, *TINY, "--rounds", 2, "--steps", 3)
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert shown.code == 0
    *rows, memory = rows
    assert columns[1:4] == ["rnnlm tokens/s", "bare products", "plain loop"]
    assert [row[0] for row in rows] == ["1", "2", "median"] and not any("-" in row for row in rows)
    assert memory[0].startswith("peak memory of our loop: ")
    assert list(here.iterdir()) == []


def test_keeping_a_run_is_not_timed(rnnlm, models, monkeypatch):
    monkeypatch.setattr(state, "state_dict", lambda trainer: pytest.fail("weights are copied"))
    assert (
        rnnlm("bench", "train", models.text, *TINY, "--rounds", 1, "--steps", 2, "--alone").code
        == 0
    )


def test_json_is_the_summary(rnnlm, models):
    summary = json.loads(
        rnnlm("bench", "train", models.text, *TINY, "--rounds", 1, "--steps", 3, "--json").out
    )
    assert summary.keys() == {
        "tokens_per_second", "products_tokens_per_second", "ratio_products", "peak_bytes",
        "plain_tokens_per_second", "ratio_plain", "kernel_share",
    }  # fmt: skip
    assert summary.pop("kernel_share") is None
    assert all(value > 0 for value in summary.values())


def test_kernel_share_is_shown_where_kernels_exist(rnnlm, models, monkeypatch):
    monkeypatch.setattr(training, "kernel_seconds", lambda run, device: run() * 1e-9)
    shown = rnnlm("bench", "train", models.text, *TINY, "--rounds", 1, "--steps", 3, "--alone")
    *rows, share = shown.out.splitlines()
    expected = float(rows[2].split("\t")[1].replace(",", "")) * 1e-9
    assert share == f"of its time kernels ran: {expected:.0%}"


def test_plain_loop_with_weight_drop_matches_awd_lstm(rnnlm, models, monkeypatch):
    made = []
    kept = textbook.WeightDropNetwork
    monkeypatch.setattr(
        textbook, "WeightDropNetwork", lambda *given: made.append(given) or kept(*given)
    )
    awd = (
        "layers=2",
        "layer_sizes=10,8",
        "weight_drop=0.5",
        "dropout_embedding=0.1",
        "locked_dropout=true",
        "temporal_penalty=1",
    )
    arguments = [part for setting in awd for part in ("--set", setting)]
    summary = json.loads(
        rnnlm(
            "bench",
            "train",
            models.text,
            "--recipe",
            "lstm",
            *TINY,
            *arguments,
            "--rounds",
            1,
            "--steps",
            2,
            "--json",
        ).out
    )
    assert len(made) == 1 and summary["ratio_plain"] > 0


def test_alone_leaves_the_loops_beside_it_out(rnnlm, models):
    summary = json.loads(
        rnnlm(
            "bench", "train", models.text, *TINY, "--rounds", 1, "--steps", 3, "--alone", "--json"
        ).out
    )
    assert summary["tokens_per_second"] > 0 and summary["ratio_products"] > 0
    assert summary["plain_tokens_per_second"] is summary["ratio_plain"] is None


@pytest.mark.parametrize("setting", ["model=ffnn", "output_layer=class"])
def test_layers_torch_lacks_have_no_plain_loop(rnnlm, models, setting):
    recipe = "ffnn" if "ffnn" in setting else "lstm"
    ended = rnnlm(
        "bench",
        "train",
        models.text,
        "--recipe",
        recipe,
        *TINY,
        "--set",
        setting,
        "--rounds",
        1,
        "--steps",
        2,
    )
    columns, row, *_ = [line.split("\t") for line in ended.out.splitlines()]
    assert row[columns.index("plain loop")] == row[columns.index("ratio to plain")] == "-"


def test_growth_on_a_text_is_wrong_usage(rnnlm, models):
    for arguments in ([models.text], ["--alone"], ["--plain-rows", 3]):
        ended = rnnlm("bench", "train", *arguments, "--growth")
        assert (ended.code, ended.errors[0]) == (
            2,
            "error: --growth makes its own text and times only our loop",
        )


@pytest.mark.parametrize(
    "setting, what",
    [
        ("hidden_size=9", "hidden_size is varied by --growth"),
        ("bogus=3", "unknown setting 'bogus' in --set"),
    ],
)
def test_growth_refuses_settings_that_cannot_be(rnnlm, setting, what):
    ended = rnnlm("bench", "train", "--growth", "--set", setting)
    assert (ended.code, ended.errors[0]) == (2, f"error: {what}")


def test_models_without_training_loop_are_wrong_usage(rnnlm, models):
    ended = rnnlm("bench", "train", models.text, "--recipe", "unigram")
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors[0] == "error: a unigram has no training loop to time"


def test_without_a_subcommand_help_is_shown_on_stderr(rnnlm):
    ended = rnnlm("bench")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: rnnlm bench") and "train" in ended.err


TINY_PAIRS = (*TINY[:6], "--set", "decoder_hidden_size=8", "--rounds", 1, "--steps", 2)


def test_encoder_decoders_are_timed_with_and_without_feeding(rnnlm, here, monkeypatch):
    monkeypatch.setattr(training, "PAIRS", 12)
    monkeypatch.setattr(training, "VOCABULARY", 20)
    monkeypatch.setattr(device, "has_native_bf16", lambda device: True)
    shown = rnnlm("bench", "train", "--task", "seq2seq", *TINY_PAIRS)
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert shown.code == 0 and columns[4:] == ["plain loop", "time over products", "ratio to plain"]
    assert [row[:2] for row in rows] == [
        ["no", "fp32"],
        ["no", "bf16"],
        ["yes", "fp32"],
        ["yes", "bf16"],
    ]
    assert not any("-" in row for row in rows) and list(here.iterdir()) == []


def test_encoder_decoder_settings_given_are_not_varied(rnnlm, here):
    (here / "pairs.tsv").write_text("en\tde\n" + "a dog\tein hund\n" * 6)
    asked = (
        "bench",
        "train",
        "pairs.tsv",
        "--task",
        "seq2seq",
        *TINY_PAIRS,
        "--set",
        "tokenizer=char",
        "--set",
        "precision=fp32",
    )
    (found,) = [
        json.loads(line)
        for line in rnnlm(
            *asked, "--set", "input_feeding=true", "--set", "attention=additive", "--json"
        ).out.splitlines()
    ]
    assert (found["input_feeding"], found["precision"], found["ratio_plain"]) == (
        True,
        "fp32",
        None,
    )
    assert found["tokens_per_second"] > 0


def test_translation_is_timed_batched_and_line_by_line(rnnlm, monkeypatch):
    monkeypatch.setattr(training, "PAIRS", 12)
    monkeypatch.setattr(training, "VOCABULARY", 20)
    asked = ("bench", "translate", *TINY[:4], "--lines", 6, "--rounds", 1)
    many, single = (json.loads(line) for line in rnnlm(*asked, "--json").out.splitlines())
    assert (many["beam"], many["at_once"], many["lines"], many["median_ms"]) == (1, 6, 6, None)
    assert (single["beam"], single["at_once"], single["lines"]) == (5, 1, 6)
    assert (
        6 * 10 < many["tokens"] == single["tokens"] < 6 * 16
        and 0 < single["median_ms"] <= single["p95_ms"]
    )
    columns, *rows = [line.split("\t") for line in rnnlm(*asked).out.splitlines()]
    assert columns[0] == "beam" and [row[0] for row in rows] == ["1", "5"]


def test_trained_model_translates_first_lines_of_a_text(rnnlm, translator, here):
    (here / "sources.txt").write_text("one two\n\n three\nfour\nfive\n")
    translated = rnnlm(
        "translate", "-m", translator.folder, "one two", "three", "four", "--json"
    ).out
    ended = rnnlm(
        "bench",
        "translate",
        "-m",
        translator.folder,
        "sources.txt",
        "--lines",
        3,
        "--beam",
        2,
        "--rounds",
        1,
        "--json",
    )
    many, single = (json.loads(line) for line in ended.out.splitlines())
    assert many["lines"] == single["lines"] == 3 and single["beam"] == 2
    assert many["tokens"] == sum(
        json.loads(line)["hypotheses"][0]["tokens"] for line in translated.splitlines()
    )


@pytest.mark.parametrize("arguments, what", [
    (["-m", "demo"], "a model needs lines to read: name both"),
    (["a.txt"], "a model needs lines to read"),
    (["-m", "demo", "a.txt", "--set", "layers=2"], "--set is for random weights"),
])  # fmt: skip
def test_translation_needs_both_model_and_lines_or_neither(rnnlm, arguments, what):
    ended = rnnlm("bench", "translate", *arguments)
    assert ended.code == 2 and what in ended.err


def test_growth_is_for_language_models(rnnlm):
    ended = rnnlm("bench", "train", "--task", "seq2seq", "--growth")
    assert (ended.code, ended.errors[0]) == (
        2,
        "error: --growth and --plain-rows are for language models",
    )


@pytest.fixture
def without_kenlm(monkeypatch):
    """Hide KenLM's programs, which this machine may have."""
    found = shutil.which
    monkeypatch.setattr(
        growth.shutil,
        "which",
        lambda name: None if name in ("lmplz", "build_binary") else found(name),
    )


@pytest.fixture
def few_keys(monkeypatch):
    """Have the calibration sort few keys."""
    monkeypatch.setattr(growth, "SORTED_KEYS", 1000)


@pytest.fixture
def forked(monkeypatch, few_keys):
    """Have the measured commands start at once."""
    starts = types.SimpleNamespace(Popen=Forked, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(processes, "subprocess", starts)
    monkeypatch.setattr(serving, "subprocess", starts)


def test_ngram_growth_is_shown_size_by_size(
    rnnlm, models, here, without_kenlm, monkeypatch, forked
):
    monkeypatch.setattr(growth, "PARTS", (4, 1))
    shown = rnnlm("bench", "ngram", models.text, "--order", 2, "--rounds", 1)
    columns, *rows, calibration = [line.split("\t") for line in shown.out.splitlines()]
    assert shown.code == 0
    assert columns == ["text", "tokens", "n-grams", "seconds", "tokens/s", "peak MB",
                       "time grows by power", "memory by power",
                       "eval seconds", "eval words/s"]  # fmt: skip
    assert [row[0] for row in rows] == ["1/4", "all"]
    assert rows[0][6:8] == ["-", "-"] and "-" not in rows[1][6:8]
    assert calibration[0].startswith("calibration: numpy sorts ") and calibration[0].endswith(
        "no lmplz beside it"
    )
    assert len([line for line in shown.err.splitlines() if " of the text: " in line]) == 2
    assert list(here.iterdir()) == []


def fake(folder, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_lmplz_on_the_path_takes_turns(rnnlm, models, tmp_path_factory, forked, monkeypatch):
    folder = tmp_path_factory.mktemp("bin")
    fake(
        folder,
        "lmplz",
        (
            f'echo lmplz "$@" >> {folder}/calls\nsleep 0.1\nwhile [ "$1" != --arpa ]; do shift; '
            'done\necho arpa > "$2"'
        ),
    )
    fake(folder, "build_binary", f'echo build_binary >> {folder}/calls\n[ "$(cat "$1")" = arpa ]')
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(growth, "PARTS", (4, 1))
    text = models.folder / "with-unk.txt"
    text.write_text("the <unk> sat\n" * 32)
    summary = json.loads(rnnlm("bench", "ngram", text, "--order", 2, "--rounds", 1, "--json").out)
    assert summary.keys() == {"order", "rounds", "sorted_keys_per_second", "sizes"}
    assert [size["tokens"] for size in summary["sizes"]] == [32, 128]
    # <unk> is written UNK; there is no other unknown
    assert [size["ngrams"] for size in summary["sizes"]] == [6 + 4] * 2
    for size in summary["sizes"]:
        assert size["peak_bytes"] > 1 << 20
        assert size["tokens_per_second"] == pytest.approx(size["tokens"] / size["seconds"])
        assert size["lmplz_seconds"] > 0.1
        assert size["ratio"] == pytest.approx(size["seconds"] / size["lmplz_seconds"])
    calls = (folder / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["lmplz", "build_binary"] * 2
    assert calls[0].startswith("lmplz -o 2 -S 400M -T ")


def test_a_failing_lmplz_is_told_and_left_out(rnnlm, models, tmp_path_factory, forked, monkeypatch):
    folder = tmp_path_factory.mktemp("bin")
    fake(folder, "lmplz", "echo out of luck >&2\nexit 3")
    fake(folder, "build_binary", "exit 0")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(growth, "PARTS", (1,))
    ended = rnnlm("bench", "ngram", models.text, "--order", 2, "--rounds", 1, "--json")
    (size,) = json.loads(ended.out)["sizes"]
    assert (ended.code, size["ratio"], size["lmplz_seconds"]) == (0, None, None)
    assert [line for line in ended.err.splitlines() if "lmplz" in line] == [
        "note: no comparison with lmplz: lmplz failed; out of luck"
    ]


@pytest.fixture
def kenlm(tmp_path_factory):
    """Return options that name two programs, which note how they are called."""
    folder = tmp_path_factory.mktemp("kenlm")
    takes_files = 'while [ "$1" != --arpa ]; do shift; done\necho arpa > "$2"'
    fake(folder, "lmplz", f'echo "$@" >> {folder}/calls\nsleep 0.1\n{takes_files}')
    fake(folder, "build_binary", '[ "$(cat "$1")" = arpa ] && echo binary > "$2"')
    return "--lmplz", folder / "lmplz", "--build-binary", folder / "build_binary"


def test_scale_measures_limits_and_sizes_beside_lmplz(rnnlm, models, here, kenlm):
    asked = (
        "--order",
        2,
        "--rounds",
        1,
        "--memory",
        "none,2G",
        "--lmplz-memory",
        "3G",
        "--sizes",
        "5k,20k",
        *kenlm,
    )
    shown = rnnlm("bench", "scale", models.text, *asked, "--json")
    result = json.loads(shown.out)
    rows = result["measurements"]
    assert [(row["text_bytes"] // 4900, row["memory"]) for row in rows] == [
        (1, None), (1, "2G"), (4, None), (4, "2G")
    ]  # fmt: skip
    for row in rows:
        ours, theirs = row["ours"], row["kenlm"]
        assert ours["private_bytes"] > 1 << 20 and ours["model_bytes"] > 1 << 10
        assert theirs["seconds"] > 0.1 and (theirs["model_bytes"], theirs["arpa_bytes"]) == (7, 5)
        assert row["ratio"] == pytest.approx(ours["seconds"] / theirs["seconds"])
        if row["memory"]:
            limited, free = ours["seconds"], rows[rows.index(row) - 1]["ours"]["seconds"]
            assert row["ratio_to_unlimited"] == pytest.approx(limited / free)
    assert [growth["memory"] for growth in result["growth"]] == [None, "2G"]

    # lmplz has the same memory, or its own where ours has no limit.
    calls = (kenlm[1].parent / "calls").read_text().splitlines()
    assert [call.split()[:4] for call in calls] == [
        ["-o", "2", "-S", "3000000000b"], ["-o", "2", "-S", "2000000000b"]
    ] * 2  # fmt: skip
    assert len([line for line in shown.err.splitlines() if " MB, memory " in line]) == 4
    assert list(here.iterdir()) == []


def test_scale_shows_a_row_for_each_limit(rnnlm, models, forked):
    limits = ("--memory", "2G,none", "--sizes", "5k,10k")
    shown = rnnlm("bench", "scale", models.text, "--order", 2, "--rounds", 1, *limits)
    columns, *rows, slope, _ = [line.split("\t") for line in shown.out.splitlines()]
    assert columns == ["text MB", "memory", "seconds", "private MB", "mapped MB", "temporary MB",
                       "model MB", "over unlimited"]  # fmt: skip
    assert [row[1] for row in rows] == ["2G", "none"] * 2
    assert slope[0].startswith("memory 2G: time grows by the power rnnlm ")


def test_scale_goes_on_after_a_program_that_fails(rnnlm, models, kenlm, forked):
    fake(kenlm[1].parent, "lmplz", "echo no space >&2\nexit 1")
    asked = ("--order", 2, "--rounds", 2, "--memory", "1k,none", *kenlm)
    ended = rnnlm("bench", "scale", models.text, *asked, "--json")
    rows = json.loads(ended.out)["measurements"]
    assert [row["ours"] is None for row in rows] == [True, False]
    assert [row["ratio_to_unlimited"] for row in rows] == [None, None]
    assert [row["kenlm"] for row in rows] == [None, None]
    notes = [
        line.partition(" MB of text, ")[2] for line in ended.err.splitlines() if "note" in line
    ]
    assert notes[1] == "memory 1k: lmplz failed; no space"
    assert notes[0].startswith("memory 1k: rnnlm train failed; ")
    assert len(notes) == 3  # neither is tried again


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--lmplz", "lmplz"), "lmplz and build_binary belong together: name both, or neither."),
        (("--lmplz", "ls", "--build-binary", "no/where"), "there is no program no/where."),
        (("--memory", "much"), "memory = 'much' is not understood"),
        (("--sizes", "1 mile"), "sizes = '1 mile' is not understood"),
        (("--temp", "nowhere"), "--temp: there is no folder nowhere."),
        (("--memory", ","), "--memory names no limit: name some, or none."),
    ],
)
def test_scale_refuses_what_it_cannot_measure(rnnlm, models, arguments, message):
    ended = rnnlm("bench", "scale", models.text, *arguments)
    assert (ended.code, ended.errors[0]) == (2, f"error: {message}")


def test_a_text_without_words_is_an_error(rnnlm, here):
    (here / "blank").write_text("\n \n")
    ended = rnnlm("bench", "ngram", "blank")
    assert (ended.code, ended.errors[0]) == (1, "error: no text in blank")


def test_a_training_that_fails_says_why(
    rnnlm, models, tmp_path_factory, monkeypatch, without_kenlm
):
    folder = tmp_path_factory.mktemp("bin")
    fake(
        folder,
        "python",
        "echo 'note: a note' >&2\necho 'error: no space' >&2\necho '  try: less' >&2\nexit 1",
    )
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    ended = rnnlm("bench", "ngram", models.text, "--rounds", 1)
    assert (ended.code, ended.out, ended.errors) == (
        1,
        "",
        ["error: rnnlm train failed", "  why: no space"],
    )


def test_scoring_is_timed_beside_its_products(rnnlm, models, here):
    found = [
        json.loads(line)
        for line in rnnlm(
            "bench", "score", "-m", models.lstm, "--tokens", 1500, "--rounds", 1, "--json"
        ).out.splitlines()
    ]
    assert [each["mix"] for each in found] == ["1 to 20", "1 to 1000", "1000", "mostly short"]
    assert all(each["tokens"] >= 1500 and each["ratio_products"] > 0 for each in found)
    shown = rnnlm(
        "bench", "score", "-m", models.unigram, models.text, "--tokens", 1500, "--rounds", 1
    )
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert (
        len(rows) == 4
        and columns[-1] == "time over products"
        and {row[-1] for row in rows} == {"-"}
    )


def test_latencies_cover_loading_first_call_call_and_word(rnnlm, models):
    asked = (
        "bench",
        "score",
        "--latency",
        "-m",
        f"{models.lstm}+cache",
        models.text,
        "--tokens",
        60,
        "--rounds",
        2,
    )
    ended = rnnlm(*asked, "--json")
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert [each["step"] for each in found] == ["load", "first call", "one call", "one more word"]
    lines, words = [], 0
    for line in models.text.read_text().splitlines():
        lines.append(line)
        words += len(line.split())
        if words + len(lines) >= 60:
            break
    assert [each["count"] for each in found] == [2, 2, len(lines), words]
    assert all(0 < each["median_ms"] <= each["p95_ms"] for each in found)
    assert ended.err.count("default settings") == 1
    columns, *rows = [line.split("\t") for line in rnnlm(*asked).out.splitlines()]
    assert columns == ["waited for", "times", "median ms", "95 % within ms"]
    assert [row[0] for row in rows] == [each["step"] for each in found]


def test_latencies_need_a_text_with_words(rnnlm, models, here):
    (here / "blank").write_text("\n \n")
    ended = rnnlm("bench", "score", "--latency", "-m", models.unigram, "blank")
    assert (ended.code, ended.errors[0]) == (1, "error: no text in blank")


QUICK = (
    "--tasks",
    "order,adding",
    "--cells",
    "irnn",
    "--lags",
    "5,6",
    "--steps",
    3,
    "--width",
    8,
    "--device",
    "cpu",
)


@pytest.mark.soak  # three servers start, and five commands
def test_servers_are_timed_beside_references(rnnlm, models):
    shown = rnnlm(
        "bench", "serve", models.text, "-m", models.lstm, "--requests", 70, "--rounds", 1, "--json"
    )
    assert shown.code == 0, shown.err
    figures = [json.loads(line) for line in shown.out.splitlines()]
    assert [(each["what"], each["reference"].split(" of ")[0]) for each in figures] == [
        ("start to first answer", "rnnlm score, one sentence"),
        ("one client, median", "call in process"),
        ("one client, 99 % within", "its median"),
        ("64 clients", "rnnlm score --input"),
        ("64 clients", "one client"),
        ("n-gram model, 1 client", "an empty answer"),
        ("n-gram model, 64 clients", "an empty answer"),
    ]
    for each in figures:
        assert each["ratio"] == pytest.approx(each["served"] / each["beside"])
    assert figures[0]["unit"] == "s" and 0.1 < figures[0]["served"] < 60


def test_a_server_that_does_not_start_says_why(here, forked):
    with (
        pytest.raises(RnnlmError, match="the server did not start; .*nowhere"),
        serving.Served("nowhere"),
    ):
        pass


def test_every_client_gets_every_answer():
    with serving.EmptyServer(300) as server:
        requests = [serving.score_request(f"sentence {number}") for number in range(100)]
        for clients in (1, 7, 64):
            load = serving.load(server.address, requests, clients)
            assert load.size == 300
            assert len(load.seconds) == 100
            assert 0 < max(load.seconds) <= load.total_seconds
            assert sum(load.seconds) <= clients * load.total_seconds
        refused = [b"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"]
        with pytest.raises(RnnlmError, match="the server refused a request"):
            serving.load(server.address, refused)


def test_serving_shows_each_number_beside_its_reference(rnnlm, models, monkeypatch):
    figure = serving.ServingFigure("one client", "ms", 4.0, "call in process", 3.2, 1.25)
    monkeypatch.setattr(serving, "bench_serving", lambda *given: [figure])
    shown = rnnlm("bench", "serve", "-m", models.lstm)
    assert [line.split("\t") for line in shown.out.splitlines()] == [
        ["what", "served", "beside", "reference", "ratio"],
        ["one client", "4 ms", "3.2 ms", "call in process", "1.250"],
    ]
    assert json.loads(rnnlm("bench", "serve", "-m", models.lstm, "--json").out) == asdict(figure)


def test_memory_is_a_table_of_the_longest_lags(rnnlm, here):
    shown = rnnlm("bench", "memory", *QUICK, "--plot", "lags.svg")
    columns, order, adding, *criteria, _, verdict = shown.out.splitlines()
    assert columns.split("\t") == [
        "task",
        "layer",
        "parameters",
        "longest lag",
        "after steps",
        "first lag not solved",
        "figure there",
    ]
    assert order.split("\t")[:6] == ["order", "irnn", "156", "0", "-", "5"] and adding.split("\t")[
        6
    ].startswith("error ")
    assert [line.split(":")[0] for line in criteria] == ["order", "adding"]
    assert verdict.startswith(
        "The longest lag that a layer solves: order, none (not even 5 steps); adding, none "
    )
    assert (
        "order, irnn, lag 5: not solved after 3 steps" in shown.err
        and (here / "lags.svg").stat().st_size > 1000
    )


def test_memory_json_has_task_layer_and_verdict_lines(rnnlm):
    *found, last = [
        json.loads(line) for line in rnnlm("bench", "memory", *QUICK, "--json").out.splitlines()
    ]
    assert [(each["task"], each["longest_lag"], each["failed"]["lag"],
             each["failed"]["steps"]) for each in found] == [
        ("order", 0, 5, 3), ("adding", 0, 5, 3),
    ]  # fmt: skip
    assert list(last) == ["verdict"] and last["verdict"].startswith("The longest lag")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--lags", "5,ten"), "'5,ten' is not a list of whole numbers"),
        (("--lags", "2"), "a lag of 2 is too short"),
        (("--cells", "lsmt"), "unknown layer 'lsmt'"),
        (("--overwrite",), "--overwrite needs --plot FILE"),
        (("--plot", "lags.txt"), "lags.txt does not have a plot suffix"),
    ],
)
def test_what_memory_cannot_do_is_one_line(rnnlm, arguments, what):
    ended = rnnlm("bench", "memory", *arguments)
    assert ended.code == 2 and what in ended.err


FEW = (
    "--budget",
    "2steps",
    "--parameters",
    3000,
    "--embedding-size",
    8,
    "--rates",
    "0.01",
    "--dropouts",
    "0",
    "--seeds",
    "1,2",
    "--device",
    "cpu",
)


def test_cells_run_in_own_processes_and_are_reread(rnnlm, here, models, forked):
    (here / "a.txt").write_text(models.text.read_text(encoding="utf-8"), encoding="utf-8")
    shown = rnnlm("bench", "cells", "a.txt", *FEW, "--cells", "elman", "-o", "c")
    columns, row = [line.split("\t") for line in shown.out.splitlines()]
    assert columns == [
        "cell",
        "width",
        "parameters",
        "rate",
        "dropout",
        "perplexity",
        "95 % interval",
        "steps",
        "tokens/s",
        "peak MB",
    ]
    assert (
        row[0] == "elman" and row[3:5] == ["0.01", "0"] and row[7] == "2" and row[6].startswith("[")
    )
    assert (
        "2 runs of 2steps in c; run the same command again to resume" in shown.err
        and "2 of 2: elman, rate 0.01, dropout 0, seed 2: perplexity " in shown.err
    )
    stored = {path: path.stat().st_mtime_ns for path in (here / "c").rglob("*")}
    (found,) = [
        json.loads(line)
        for line in rnnlm(
            "bench", "cells", "a.txt", *FEW, "--cells", "elman", "-o", "c", "--json"
        ).out.splitlines()
    ]
    assert (
        f"{found['parameters']:,}" == row[2]
        and found["low"] < found["ppl"] < found["high"]
        and found["peak_bytes"] > 1e8
    )
    assert {path: path.stat().st_mtime_ns for path in (here / "c").rglob("*")} == stored


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--cells", "lsmt"), "unknown cell 'lsmt'"),
        (("--seeds", ""), "no seeds are named"),
        (("--rates", "0.1,fast"), "'0.1,fast' is not a list of numbers"),
        (("--parameters", 5), "no width has 5 parameters"),
        (("--budget", "2parsecs"), "rnnlm train failed"),
    ],
)
def test_cells_without_an_answer(rnnlm, here, models, arguments, what):
    ended = rnnlm("bench", "cells", str(models.text), *FEW, *arguments, "-o", "c")
    assert ended.code in (1, 2) and what in ended.err and not (here / "c" / "cells.json").exists()


def test_filtering_is_timed_and_nothing_is_saved(rnnlm, models, here):
    arguments = ("bench", "filter", models.text, "-m", models.unigram, "--rounds", 1)
    speeds = [json.loads(line) for line in rnnlm(*arguments, "--json").out.splitlines()]
    assert {speed["what"] for speed in speeds} == {"rnnlm filter"}
    assert speeds[0]["processors"] == 1 and speeds[0]["megabytes_per_second"] > 0
    assert speeds[0]["ratio"] is None and list(here.iterdir()) == []


@pytest.fixture
def bigrams(rnnlm, models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compact") / "bigrams"
    assert rnnlm("train", models.text, "--model", "ngram", "--order", 2, "-o", folder).code == 0
    return folder


def test_compact_forms_take_turns_with_kenlms_trie(
    rnnlm, models, bigrams, tmp_path_factory, forked, here
):
    folder = tmp_path_factory.mktemp("bin")
    fake(
        folder,
        "build_binary",
        f'echo "$@" > {folder}/call\ngrep -q ngram "$8" && echo 12345 > "$9"',
    )
    fake(folder, "query", 'cat > /dev/null\nprintf "Perplexity including OOVs:\\t12.5\\n"')
    programs = ("--build-binary", folder / "build_binary", "--query", folder / "query")
    asked = ("bench", "compact", models.valid, "-m", bigrams, "--rounds", 1)
    result = json.loads(rnnlm(*asked, *programs, "--json").out)
    forms = {form["form"]: form for form in result["forms"]}
    assert list(forms) == ["as it is", "16 bits", "8 bits", "KenLM's trie"]
    assert (folder / "call").read_text().startswith("-a 22 -q 8 -b 8 trie ")
    trie = forms["KenLM's trie"]
    assert (trie["model_bytes"], trie["ppl_token"], trie["size_ratio"]) == (6, 12.5, 1)
    whole, small = forms["as it is"], forms["8 bits"]
    assert small["model_bytes"] < whole["model_bytes"]
    assert small["size_ratio"] == small["model_bytes"] / 6
    assert small["ppl_token"] == pytest.approx(whole["ppl_token"], rel=0.01)
    expected = json.loads(rnnlm("eval", "-m", bigrams, models.valid, "--json").out)["ppl_token"]
    assert whole["ppl_token"] == pytest.approx(expected)
    assert list(here.iterdir()) == []


def test_compact_form_is_measured_without_kenlm(rnnlm, models, bigrams, forked):
    shown = rnnlm("bench", "compact", models.valid, "-m", bigrams, "--rounds", 1)
    columns, *rows = [line.split("\t") for line in shown.out.splitlines()]
    assert columns == ["form", "MB", "seconds", "processor seconds", "peak MB", "ppl_token"]
    assert [row[0] for row in rows] == ["as it is", "16 bits", "8 bits"]
    refused = rnnlm("bench", "compact", models.valid, "-m", bigrams, "--query", "query")
    assert (refused.code, refused.errors[0]) == (
        2, "error: build_binary and query belong together: name both, or neither."
    )  # fmt: skip
