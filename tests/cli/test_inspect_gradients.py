from rnnlm import corpora
from rnnlm.tools.inspection import common


def test_gradients_are_tables_a_sentence_and_a_picture(rnnlm, models, pictures):
    asked = (
        f"inspect gradients -m {models.lstm} --on {models.text} --lags 5 --positions 8 --device cpu"
    )
    shown = rnnlm(f"{asked} --untrained --plot gradients.svg")
    verdict, sizes, rates, exponents = shown.out.split("\n\n")
    assert shown.code == 0
    _, columns, *rows = (line.split("\t") for line in sizes.splitlines())
    expected = ["model", "quantity", "lag", "mean (rms)", "std. error", "10 %", "median", "90 %"]
    assert columns == expected
    losses = {"loss by h of layer 1", "loss by word read"}
    assert {row[1] for row in rows} == {"layer 1, state", "layer 1, cell", *losses}
    assert len(rates.splitlines()) == 2 + 8 and len(exponents.splitlines()) == 2 + 2
    trained, start = verdict.splitlines()
    assert "tiny: the gradient of the state of layer 1 " in trained
    assert "tiny, untrained: the gradient" in start
    size = "size (1: all lengths kept)"
    labels = [axes.get_ylabel() for axes in pictures["gradients.svg"].axes]
    assert labels == [size, size, *["norm of the gradient (nats)"] * 2]

    found = rnnlm(f"{asked} --json").json
    assert found["verdict"] == trained
    assert found["models"][0]["layers"][0]["state"]["lag"] == [1, 2, 3, 4, 5]


def test_a_sentence_is_a_map_of_its_words(rnnlm, models, here):
    shown = rnnlm(
        f"inspect gradients -m {models.lstm} --sentence 'the cat sat' --plot map.png --device cpu"
    )
    [verdict], _, [title], columns, *rows = shown.rows
    assert columns == ["predicted", "surprisal (nats)", "0 </s>", "1 the", "2 cat", "3 sat"]
    assert [row[0] for row in rows] == ["the", "cat", "sat", "</s>"]
    assert "of the sensitivity of predictions is to the token read last" in verdict
    assert title.startswith("tiny: ") and (here / "map.png").stat().st_size > 1000


def test_what_gradients_cannot_show_is_one_line(rnnlm, models):
    for asked, what in (
        (f"-m {models.unigram}", "has no recurrent layers of a language model"),
        (f"-m {models.lstm} --sentence ' '", "the sentence has no words"),
        (f"-m {models.lstm} --sentence a --lags 3 --on x",
         "--on, --lags: not valid with --sentence"),
        (f"-m {models.lstm} --on nowhere.txt", "nowhere.txt"),
        (f"-m {models.lstm} --plot x.jpg", "x.jpg does not have a plot suffix"),
    ):  # fmt: skip
        ended = rnnlm(f"inspect gradients {asked}")
        assert ended.code in (1, 2) and what in ended.err and not ended.out


def test_bundled_corpora_are_read_by_name(here):
    (here / "my.txt").write_text("one line\n")
    test = str(corpora.part("english", "test"))
    for given, sources in (
        (None, [test]), ("english", [test]), (["english", "my.txt"], [test, "my.txt"]),
    ):  # fmt: skip
        assert [*common.open_source(given).sources] == sources
    (here / "english").write_text("one line\n")
    assert [*common.open_source("english").sources] == ["english"]
