"""Held-out text looked up in the counts, against plain dictionaries."""

from hypothesis import example, given
from hypothesis import strategies as st

from reference.ngram_formulas import BEGIN, END, raw_counts
from rnnlm.ngram.heldout import heldout_counts
from support.tiny_ngrams import counts_of, ids_of

SIZE = 6
texts = st.lists(st.lists(st.integers(1, SIZE - 1), max_size=10), min_size=1, max_size=8)


@given(train=texts, heldout=texts, order=st.integers(1, 6))
@example(train=[[1]], heldout=[[]], order=6)
@example(train=[[1, 2, 3, 4, 5] * 4], heldout=[[2, 3, 4, 5], [1, 2]], order=5)
def test_every_n_gram_of_the_text_is_told_with_how_often_training_saw_it_and_its_context(train, heldout, order):
    counts = counts_of(train, SIZE, order)
    found = heldout_counts(counts, ids_of(heldout), END)
    raw = raw_counts(train, order)
    at = 0
    for sentence in heldout:
        padded = (BEGIN, *sentence, END)
        for end in range(2, len(padded) + 1):
            for n in range(1, counts.order + 1):
                gram = padded[end - n : end] if n <= end else None  # None: it would reach back beyond the start
                followers = sum(count for each, count in raw.items() if gram and each[:-1] == gram[:-1] and each != (BEGIN,))
                assert found.ngrams_NT[n - 1, at] == (raw[gram] if gram else 0)
                assert found.contexts_NT[n - 1, at] == followers
            at += 1
    assert found.size == SIZE and found.ngrams_NT.shape == found.contexts_NT.shape == (counts.order, at)


def test_many_words_are_looked_up_as_few_are():
    train = [[1 + (i * i + i // 7) % 5 for i in range(3000)]]
    counts = counts_of(train, SIZE, 6)
    many = heldout_counts(counts, ids_of(train * 3), END)
    assert (many.ngrams_NT[:, 3001:6002] == many.ngrams_NT[:, :3001]).all()
    few = heldout_counts(counts, ids_of(train)[:40], END)
    assert (many.ngrams_NT[:, :40] == few.ngrams_NT).all() and (many.contexts_NT[:, :40] == few.contexts_NT).all()
    assert (many.ngrams_NT[:, 6:3000] > 0).all()  # the text itself, all of whose n-grams were seen
