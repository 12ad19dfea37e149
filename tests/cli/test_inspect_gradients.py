from rnnlm import corpora
from rnnlm.inspection import common


def test_gradients_are_tables_a_sentence_and_a_picture(rnnlm, models, pictures):
    asked = (
        "inspect",
        "gradients",
        "-m",
        models.lstm,
        "--on",
        models.text,
        "--lags",
        5,
        "--positions",
        8,
        "--device",
        "cpu",
    )
    shown = rnnlm(*asked, "--untrained", "--plot", "gradients.svg")
    verdict, sizes, rates, exponents = shown.out.split("\n\n")
    assert shown.code == 0
    assert (
        sizes.splitlines()[1] == "model\tquantity\tlag\tmean (rms)\tstd. error\t10 %\tmedian\t90 %"
    )
    assert {line.split("\t")[1] for line in sizes.splitlines()[2:]} == {
        "layer 1, state",
        "layer 1, cell",
        "loss by word read",
    }
    assert len(rates.splitlines()) == 2 + 6 and len(exponents.splitlines()) == 2 + 2
    trained, start = verdict.splitlines()
    assert (
        "tiny: the gradient of the state of layer 1 " in trained
        and "tiny, untrained: the gradient" in start
    )
    assert [axes.get_ylabel() for axes in pictures["gradients.svg"].axes] == [
        "size (1: all lengths kept)",
        "size (1: all lengths kept)",
        "norm of the gradient (nats)",
    ]

    found = rnnlm(*asked, "--json").json
    assert found["verdict"] == trained and found["models"][0]["layers"][0]["state"]["lag"] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_a_sentence_is_a_map_of_its_words(rnnlm, models, here):
    shown = rnnlm(
        f"inspect gradients -m {models.lstm} --sentence 'the cat sat' --plot map.png --device cpu"
    )
    verdict, _, title, columns, *rows = shown.out.splitlines()
    assert columns == "predicted\tsurprisal (nats)\t0 </s>\t1 the\t2 cat\t3 sat"
    assert [row.split("\t")[0] for row in rows] == ["the", "cat", "sat", "</s>"]
    assert (
        "of the sensitivity of predictions is to the token read last" in verdict
        and title.startswith("tiny: ")
    )
    assert (here / "map.png").stat().st_size > 1000


def test_what_gradients_cannot_show_is_one_line(rnnlm, models):
    for arguments, what in (
        (("-m", models.unigram), "has no recurrent layers of a language model"),
        (("-m", models.lstm, "--sentence", " "), "the sentence has no words"),
        (
            ("-m", models.lstm, "--sentence", "a", "--lags", 3, "--on", "x"),
            "--on, --lags: for positions of a text",
        ),
        (("-m", models.lstm, "--on", "nowhere.txt"), "nowhere.txt"),
        (("-m", models.lstm, "--plot", "x.jpg"), "x.jpg does not have a plot suffix"),
    ):
        ended = rnnlm("inspect", "gradients", *arguments)
        assert (
            ended.code in (1, 2)
            and what in ended.err
            and "Traceback" not in ended.err
            and not ended.out
        )


def test_bundled_corpora_are_read_by_name(monkeypatch, here):
    monkeypatch.setattr(common, "as_text", lambda sources, settings: sources)
    assert (
        common.open_source(None)
        == common.open_source("english")
        == (str(corpora.part("english", "test")),)
    )
    assert common.open_source(["english", "my.txt"])[1] == "my.txt"
    (here / "english").write_text("one line\n")
    assert common.open_source("english") == ("english",)
