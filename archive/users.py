"""Who may sign in to the dashboard; passwords are kept as argon2id hashes."""

from __future__ import annotations

import re
import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from archive.models import User
from archive.states import Role
from config.errors import LungprintError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
FIRST_ADMIN = "admin"

_NAME = re.compile(r"[\w.@+-]{1,64}")


class UserNameUnusable(LungprintError):
    """A user name is empty, too long or holds signs that a name cannot have."""

    def __init__(self) -> None:
        super().__init__("A user name has 1 to 64 letters, digits or the signs . _ - + @; choose another.")


class PasswordUnusable(LungprintError):
    """A password is too short or too long."""


class UserExists(LungprintError):
    """The name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is already a user {name}; choose another name.")


class NoSuchUser(LungprintError):
    """Nobody has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name}; `lungprint user list` shows all.")


class LastAdmin(LungprintError):
    """The change would leave nobody who can administer the system."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is the only enabled administrator; make another one first.")


def create_user(session: Session, name: str, password: str, role: Role) -> User:
    """Add a user who may sign in at once.

    Args:
        name: 1 to 64 letters, digits or `._-+@`; kept in lower case, so that Anna and anna are one user.
        password: 12 to 1024 characters.

    Raises:
        UserNameUnusable, PasswordUnusable, UserExists.
    """
    clean = _canonical(name)
    if not _NAME.fullmatch(clean):
        raise UserNameUnusable
    if find_user(session, clean) is not None:
        raise UserExists(clean)
    user = User(name=clean, password_hash=_hash(clean, password), role=role)
    session.add(user)
    session.flush()
    return user


def list_users(session: Session) -> list[User]:
    """All users by name, the disabled ones included."""
    return list(session.scalars(select(User).order_by(User.name)))


def find_user(session: Session, name: str) -> User | None:
    """The user of this name, in any case, if there is one."""
    return session.scalar(select(User).where(User.name == _canonical(name)))


def get_user(session: Session, name: str) -> User:
    """The user of this name.

    Raises:
        NoSuchUser
    """
    user = find_user(session, name)
    if user is None:
        raise NoSuchUser(_canonical(name)[:64])
    return user


def set_disabled(session: Session, name: str, disabled: bool = True) -> User:
    """Shut a user out, effective at the next request, or let the user in again.

    Raises:
        NoSuchUser
        LastAdmin: this is the only administrator left.
    """
    user = get_user(session, name)
    if disabled and user.role is Role.ADMIN and not user.disabled:
        others = select(func.count()).where(User.role == Role.ADMIN, ~User.disabled, User.id != user.id)
        if not session.scalar(others):
            raise LastAdmin(user.name)
    user.disabled = disabled
    return user


def set_password(session: Session, name: str, password: str) -> User:
    """Give a user a new password; sessions that were opened with the old one end.

    Raises:
        NoSuchUser, PasswordUnusable.
    """
    user = get_user(session, name)
    user.password_hash = _hash(user.name, password)
    return user


def verify(session: Session, name: str, password: str) -> User | None:
    """The user when name and password are right and the user is enabled, else None.

    The work is the same whether the name is unknown, the password wrong or the user disabled.
    """
    user = find_user(session, name)
    try:
        _hasher().verify(user.password_hash if user else _nobodys_hash(), password[:LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return None
    return None if user is None or user.disabled else user


def ensure_first_admin(session: Session) -> tuple[str, str] | None:
    """On a system without any user make an administrator with a random password.

    Returns:
        (name, password), which is shown once and stored nowhere, or None when there are users.
    """
    if session.scalar(select(func.count()).select_from(User)):
        return None
    password = secrets.token_urlsafe(12)
    return create_user(session, FIRST_ADMIN, password, Role.ADMIN).name, password


def _canonical(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().lower()


def _hash(name: str, password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise PasswordUnusable(f"The password is too short; use at least {SHORTEST_PASSWORD} characters.")
    if len(password) > LONGEST_PASSWORD:
        raise PasswordUnusable(f"The password is too long; use at most {LONGEST_PASSWORD} characters.")
    if password.lower() == name:
        raise PasswordUnusable("The password is the user's name; choose another.")
    return _hasher().hash(password)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
