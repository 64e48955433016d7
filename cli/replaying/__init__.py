"""The replay's parts: a stream with planted errors, the pipeline that it runs through, and what came of it."""
