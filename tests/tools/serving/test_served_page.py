"""The page of `rnnlm serve` in a real browser: it shows the figures of `rnnlm score`, goes by keyboard
alone, fits any screen, and has no violation that axe-core finds."""

import base64
import io
import math
import os
import re
import shutil
import subprocess
import tarfile
import time
import urllib.parse
from pathlib import Path

import pytest

import rnnlm
from support import tiny_models
from support.served_processes import serving

pytestmark = [pytest.mark.processes, pytest.mark.soak]

SENTENCE = "the dog barked at the old man"
WAIT_S = 60
AXE = "axe-core@4.14.1"  # from npm
THEMES = [False, True]
# Screenshots are kept for people to look at where this names a folder.
PICTURES = os.environ.get("RNNLM_PICTURES")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def complaints(driver) -> list[str]:
    """Return what the console has been told: errors of scripts, what a policy has forbidden."""
    return [entry["message"] for entry in driver.get_log("browser")]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the shipped model and an n-gram model, by name."""
    folder = tmp_path_factory.mktemp("models") / "tri"
    tiny_models.save(folder, tiny_models.fit("ngram", order=3), "ngram", order=3)
    return {"demo": "demo", "tri": str(folder)}


@pytest.fixture(scope="module")
def server(models):
    """Serve both models. Return the address."""
    with serving(*[part for name in models.values() for part in ("-m", name)]) as started:
        yield address_of(started)


def address_of(server):
    return f"http://127.0.0.1:{server.port}/"


@pytest.fixture(scope="module")
def browser(server, tmp_path_factory):
    """Start Chromium with nothing stored; it keeps a log of its console."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    if BROWSER is None or DRIVER is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """Return the source of axe-core, fetched from npm."""
    folder = tmp_path_factory.mktemp("axe")
    subprocess.run(["npm", "pack", AXE], cwd=folder, check=True, capture_output=True)
    [archive] = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        return io.TextIOWrapper(files.extractfile("package/axe.min.js"), "utf-8").read()


def waited(found):
    """Return what `found()` returns, once that is something."""
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        result = found()
        if result:
            return result
        time.sleep(0.05)
    raise AssertionError("nothing has come")


def opened(browser, address, tab="read", width=1000, dark=False, **texts):
    """Open a tab of the page as a person does who was sent its address, and wait for the models."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get("about:blank")
    browser.get(f"{address}#{urllib.parse.urlencode({'do': tab, **texts})}")
    waited(lambda: all(shown_words(browser, at) for at in range(2)))
    waited(lambda: len(browser.find_elements("css selector", "#suggestions li")) > 1)


def shown_words(browser, card):
    """Return the words of a card, each with its bits as it shows them."""
    return browser.execute_script(
        "const card = document.querySelectorAll('#read-cards article')[arguments[0]];"
        "const text = (word, part) => word.querySelector(part).textContent;"
        "return [...(card?.querySelectorAll('.word') ?? [])]"
        ".map((word) => [text(word, '.t'), text(word, '.b')]);",
        card,
    )


def test_words_have_the_bits_of_the_command_line(browser, server, models):
    opened(browser, server, text=SENTENCE)
    for card, name in enumerate(models.values()):
        [score] = rnnlm.load(name).score_sentences([SENTENCE], words=True)
        bits = [word.surprisal_bits for word in score.word_scores]
        expected = [f"{each:.{1 if each < 10 else 0}f} bits" for each in bits]
        assert [shown for _, shown in shown_words(browser, card)] == expected
        total = browser.find_elements("css selector", "#read-cards .total")[card].text
        assert total.startswith(f"{sum(bits):.1f} bits in all")
    assert complaints(browser) == []


def test_a_typed_sentence_is_read_after_a_pause(browser, server, models):
    opened(browser, server, text="the cat")
    field = browser.find_element("id", "sentence")
    field.clear()
    field.send_keys(SENTENCE)
    words = SENTENCE.split()
    waited(lambda: [word for word, _ in shown_words(browser, 1)[:-1]] == words)
    [score] = rnnlm.load(models["tri"]).score_sentences([SENTENCE], words=True)
    bits = [f"{word.surprisal_bits:.1f} bits" for word in score.word_scores]
    assert [shown for _, shown in shown_words(browser, 1)] == bits


def test_nothing_moves_while_words_are_walked(browser, server):
    from selenium.webdriver import Keys

    for width in (400, 1000):
        opened(browser, server, width=width, text=f"{SENTENCE} xyzzy ")
        browser.find_element("css selector", ".word.picked").send_keys(Keys.HOME)
        places = set()
        words = browser.find_elements("css selector", "#read-cards article:first-child .word")
        for word in words:
            assert word == browser.switch_to.active_element
            tops = browser.execute_script(
                "return [...document.querySelectorAll('.facts, .bars, .inside, footer')]"
                ".map((each) => each.getBoundingClientRect().top + scrollY)"
            )
            places.add(tuple(round(top) for top in tops))
            word.send_keys(Keys.ARROW_RIGHT)
        assert len(words) == 9 and len(places) == 1


def test_screen_readers_are_told_what_all_models_say(browser, server, models):
    opened(browser, server, text=SENTENCE)
    browser.find_elements("css selector", "#read-cards article:first-child .word")[1].click()

    def told():
        return browser.find_element("id", "told").get_attribute("textContent")

    waited(lambda: "demo: dog," in told())
    for name, model in models.items():
        [score] = rnnlm.load(model).score_sentences([SENTENCE], words=True)
        assert f"{name}: dog, {score.word_scores[1].surprisal_bits:.2f} bits" in told()


def test_a_word_is_explained_by_all_models(browser, server, models):
    opened(browser, server, text=SENTENCE)
    browser.find_elements("css selector", "#read-cards article:first-child .word")[1].click()
    for card, name in enumerate(models.values()):
        article = browser.find_elements("css selector", "#read-cards article")[card]
        waited(
            lambda article=article: article.find_element("css selector", ".facts b").text == "dog"
        )
        facts = article.find_element("css selector", ".facts").text
        [score] = rnnlm.load(name).score_sentences([SENTENCE], words=True, next_words=6)
        assert f"{score.word_scores[1].surprisal_bits:.2f} bits" in facts
        rows = [row.text for row in article.find_elements("css selector", ".bars .w")]
        likely = [each.word for each in score.next_words[1] if each.word != "<unk>"]
        assert rows[:5] == [word.replace("</s>", "⏎") for word in likely[:5]]
    # Bars of all models have one scale.
    pixels_of_one = browser.execute_script(
        "return [...document.querySelectorAll('#read-cards .bars li:first-child .bar')].map("
        "(bar) => bar.offsetWidth / getComputedStyle(bar).getPropertyValue('--p'))"
    )
    assert len(pixels_of_one) == 2 and max(pixels_of_one) < 1.1 * min(pixels_of_one)


def test_pairs_have_the_odds_of_their_scores(browser, server, models):
    pair = ("the dog barked", "dog the barked")
    pattern = rf"“{pair[0]}” is ([0-9,.]+) times likelier than “{pair[1]}”"
    opened(browser, server, "pair", one=pair[0], other=pair[1])
    for card, name in enumerate(models.values()):
        better, worse = (score.logprob_nats for score in rnnlm.load(name).score_sentences(pair))
        verdict = browser.find_elements("css selector", "#pair-cards .verdict")[card]
        found = waited(lambda verdict=verdict: re.search(pattern, verdict.text))
        assert float(found[1].replace(",", "")) == pytest.approx(math.exp(better - worse), rel=0.06)


def test_everything_is_reached_by_keyboard(browser, server):
    from selenium.webdriver import ActionChains, Keys

    opened(browser, server, text=SENTENCE)

    def press(*keys):
        ActionChains(browser).send_keys(*keys).perform()
        return browser.switch_to.active_element

    # From the top: the link to the text, the tabs (one stop), models, the field, suggestions.
    stops = [press(Keys.TAB) for _ in range(5)]
    tags = [
        (stop.tag_name, stop.get_attribute("role") or stop.get_attribute("type")) for stop in stops
    ]
    expected = [
        ("a", None),
        ("button", "tab"),
        ("input", "checkbox"),
        ("input", "checkbox"),
        ("textarea", "textarea"),
    ]
    assert [(tag, kind or None) for tag, kind in tags] == expected
    taken = press(Keys.TAB).text.split()[0]
    press(Keys.ENTER)
    waited(
        lambda: browser.find_element("id", "sentence").get_property("value").endswith(f"{taken} ")
    )
    # The words of a sentence are one stop, walked by arrows; what is said of them follows.
    waited(lambda: "word" in (press(Keys.TAB).get_attribute("class") or ""))
    press(Keys.HOME)
    assert press(Keys.ARROW_RIGHT).find_element("css selector", ".t").text == "dog"
    assert browser.find_element("css selector", "#read-cards .facts b").text == "dog"
    # Tabs open by arrows.
    browser.find_element("id", "tab-read").send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element("id", "pair").is_displayed()


def test_texts_are_written_word_by_word(browser, server):
    opened(browser, server, "write")
    written = browser.find_element("id", "written")
    begun = written.text
    browser.find_element("id", "step").click()
    waited(lambda: len(written.text.split()) == len(begun.split()) + 1)
    # In one call: what is chosen from is made anew with each word.
    take = (
        "const button = document.querySelector('#choices button'); button?.click();"
        "return button?.textContent"
    )
    word = waited(lambda: browser.execute_script(take))
    waited(lambda: written.text.endswith(word))
    browser.find_element("id", "back").click()
    browser.find_element("id", "back").click()
    waited(lambda: written.text == begun)
    browser.find_element("id", "run").click()
    waited(lambda: browser.find_element("id", "run").text == "Write on")
    assert len(written.text.split()) > len(begun.split())
    assert complaints(browser) == []


def test_writing_stops_and_offers_what_may_follow(browser, server):
    opened(browser, server, "write")
    # Stop as soon as there is a word more.
    browser.execute_async_script(
        "const done = arguments[0], written = document.getElementById('written');"
        "const begun = written.textContent, run = document.getElementById('run');"
        "run.click();"
        "const watch = new MutationObserver(() => {"
        "  if (written.textContent === begun) return;"
        "  watch.disconnect(); run.click(); done(); });"
        "watch.observe(written, { childList: true });"
    )
    assert browser.find_element("id", "run").text == "Write on"
    text = browser.find_element("id", "written").text
    [score] = rnnlm.load("demo").score_sentences([text], words=True, next_words=1)
    expected = score.next_words[-1][0].word  # where the sentence ends
    choice = "return document.querySelector('#choices button').textContent"
    waited(lambda: browser.execute_script(choice).startswith(expected))


def test_a_look_inside_shows_gates_weights_and_orders(browser, server):
    opened(browser, server, text=SENTENCE)
    browser.execute_script(
        "document.querySelectorAll('details.inside').forEach((each) => (each.open = true))"
    )
    waited(lambda: "forget" in browser.find_element("css selector", "#read-cards").text)
    waited(lambda: "3-gram" in browser.find_element("css selector", "#read-cards").text)
    browser.find_element("xpath", "//button[text()='Influence of earlier words']").click()
    waited(
        lambda: (
            "Rows are predicted words" in browser.find_element("css selector", "#read-cards").text
        )
    )
    # The first word is predicted from nothing but the boundary, the next one from two words.
    rows = browser.find_elements("css selector", "#read-cards article:first-child .heat tbody tr")
    shares = [row.text.split() for row in rows[:2]]
    assert shares[0] == ["the", "100"] and shares[1][0] == "dog" and len(shares[1]) == 3
    assert complaints(browser) == []


@pytest.mark.parametrize("tab", ["read", "pair", "write"])
@pytest.mark.parametrize("dark", THEMES)
def test_axe_finds_no_violation(browser, server, axe, tab, dark):
    opened(browser, server, tab, dark=dark)
    browser.execute_script(
        "document.querySelectorAll('details').forEach((each) => (each.open = true))"
    )
    time.sleep(1)
    # Through the debugger, as the page's policy lets no other script run.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found = browser.execute_async_script(
        "const done = arguments[0];"
        "axe.run().then(({ violations }) =>"
        " done(violations.map(({ id, nodes }) => [id, nodes[0].html])));"
    )
    assert found == []


@pytest.mark.parametrize("tab", ["read", "pair", "write"])
@pytest.mark.parametrize("dark", THEMES)
@pytest.mark.parametrize("width", [400, 1000, 2000])
def test_the_page_fits_any_screen(browser, server, tab, dark, width):
    opened(browser, server, tab, width, dark)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    if PICTURES:
        picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        name = f"{tab}-{width}-{'dark' if dark else 'light'}.png"
        Path(PICTURES, name).write_bytes(base64.b64decode(picture["data"]))


def test_typed_tags_are_text(browser, server):
    opened(browser, server, text="</script> <img src=x onerror=document.title='broken'> the dog")
    waited(lambda: shown_words(browser, 0)[0][0] == "</script>")
    assert browser.title != "broken"
    assert browser.find_elements("css selector", "#read-cards img") == []
    assert complaints(browser) == []


def test_the_page_asks_for_the_servers_token(browser, tmp_path):
    hostile = "</script> \u2028 <img onerror=x src=x> </title>"
    name, token = "<img onerror=x src=x>", "a-token-that-is-long-enough"
    lines = [*tiny_models.LINES, hostile, hostile]
    tiny_models.save(tmp_path / name, tiny_models.fit("ngram", lines, order=2), "ngram", order=2)
    with serving("-m", tmp_path / name, RNNLM_TOKEN=token) as server:
        browser.get("about:blank")
        browser.get(f"{address_of(server)}#{urllib.parse.urlencode({'text': hostile})}")
        for given in ("another-token-of-some-length", token):
            waited(lambda: browser.find_element("id", "token").is_displayed())
            field = browser.find_element("id", "token")
            field.clear()
            field.send_keys(given)
            field.submit()
            if given != token:
                trouble = browser.find_element("id", "token-trouble")
                waited(lambda trouble=trouble: "does not accept" in trouble.text)
        # All that the model holds is text: its name, its words, those that it expects.
        words = waited(lambda: shown_words(browser, 0))
        assert [word for word, _ in words[:-1]] == hostile.split(" ")
        assert browser.find_element("css selector", "#read-cards h2").text.startswith(name)
        waited(lambda: browser.find_elements("css selector", "#suggestions li"))
        assert browser.find_elements("css selector", "img") == []
        assert [each for each in complaints(browser) if "401" not in each] == []
