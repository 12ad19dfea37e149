"""How long an exact evaluation may last."""

from rnnlm.cli.terminal import Estimate


class Watched:
    """A progress that keeps what it is told, on a clock of its own."""

    def __init__(self):
        self.now, self.told = 0.0, []

    def clock(self):
        return self.now

    def __call__(self, message):
        self.told.append(message)


def test_the_rest_is_estimated_for_each_text():
    watched = Watched()
    estimate = Estimate(watched)
    for seconds, message in [
        (5, "valid: 100 of 1,100 tokens scored"), (15, "valid: 600 of 1,100 tokens scored"),
        (25, "valid: 1,100 of 1,100 tokens scored"), (30, "test: 10 of 100 tokens scored"),
        (40, "test: 20 of 100 tokens scored"), (50, "test: done"),
    ]:  # fmt: skip
        watched.now = seconds
        estimate(message)
    lefts = [message.partition("scored")[2] for message in watched.told]
    assert lefts == ["", ", 10s left", "", "", ", 1m 20s left", ""]
