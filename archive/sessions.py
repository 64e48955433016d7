"""Which sign-ins to the dashboard are still good: a cookie names one, and is void once that one has ended."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from archive.models import SignIn, now


def open_sign_in(session: Session, user_pk: int, longest: timedelta) -> str:
    """Begin one for a user; those of all users that began longer ago than `longest` are forgotten.

    Returns:
        a token to be kept by the browser; the database keeps its digest alone.
    """
    session.execute(delete(SignIn).where(SignIn.opened_at < now() - longest))
    token = secrets.token_urlsafe(32)
    session.add(SignIn(token_sha256=_digest(token), user_pk=user_pk))
    return token


def is_open(session: Session, token: str, user_pk: int) -> bool:
    """Whether a token stands for a sign-in of this user that has not ended."""
    wanted = select(SignIn.user_pk).where(SignIn.token_sha256 == _digest(token), SignIn.user_pk == user_pk)
    return session.scalar(wanted) is not None


def end_sign_in(session: Session, token: str) -> None:
    """End one; whoever still holds its cookie must sign in again."""
    session.execute(delete(SignIn).where(SignIn.token_sha256 == _digest(token)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
