"""How far back a language model remembers: its perplexity where it sees the last tokens alone, or those further back in another order."""
