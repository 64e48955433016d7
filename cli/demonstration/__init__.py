"""The demo's parts: a stream of films with planted errors, the scratch system they are sent to, and the score."""
