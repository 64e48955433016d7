"""The web pages on which QA staff review alerts."""
