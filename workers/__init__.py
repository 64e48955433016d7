"""Celery: the tasks that join reception, recognition and the archive, and the supervisor that runs all of it."""
