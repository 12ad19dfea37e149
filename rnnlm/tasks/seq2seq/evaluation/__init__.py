"""How encoder-decoders are evaluated: BLEU, chrF, error rates, perplexity."""
