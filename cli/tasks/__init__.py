"""Commands of the tasks: tag, classify, translate."""
