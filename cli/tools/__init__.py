"""Commands of the tools: inspect, vectors, embed, rescore, filter, serve."""
