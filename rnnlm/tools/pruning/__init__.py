"""Pruning: n-gram models made smaller, with sizes and perplexity before and after."""
