"""A customer's or the vendor's WORM account as a write-once place. Keys: ``releases/<product>/<version>/<part>``.

In either backend an overwrite adds a version and a deletion hides one; neither takes anything away. So what counts is
the *oldest* version of a key: whoever may write to the account cannot change what others read.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from components.places import MANIFEST, Part, ReleaseError
from components.settings import VERSION
from components.storage_settings import Backend

if TYPE_CHECKING:
    from components.storage_reference import Account

NEW_KEYS = "pulumi up --refresh of its storage stack gives the account new keys"
NOT_THERE = "the account is not there; pulumi up --refresh of its storage stack"
SET_THE_CLOCK = "its clock and this machine's differ by over 15 minutes; set the clock"
FAILED = "the store failed, perhaps its disk is full"


class AccountError(ReleaseError):
    """An account that refuses, fails or does not answer; the text is one line with the mend."""


class DamagedError(AccountError):
    """One object that an account has and cannot give as it was written. It says nothing of the others, nor whether the
    store as a whole is well: a list tells."""


class First(NamedTuple):
    """The first version of a key: its id, when it was written by the store's clock, and its bytes."""

    version: str
    written: datetime
    size: int


@dataclass(frozen=True)
class AccountPlace(ABC):
    """What may be added and read in an account at ``endpoint``; ``bucket``: with Azure, the container.

    All that does not return raises AccountError.
    """

    endpoint: str
    bucket: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    mend = "restore it in the store, or publish the next version"

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """From the plain form of an account. Raises KeyError."""
        return cls(*(str(plain[name]) for name in cls.__dataclass_fields__))

    def to_json(self) -> str:
        """The plain form, secrets included: for the environment of a command, never for its arguments."""
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__} | {"backend": self.backend})

    # A place of releases

    def where(self, part: Part) -> str:
        return f"{self.bucket}/{_key(part)}"

    def get(self, part: Part) -> bytes | None:
        return self.read(_key(part))

    def add(self, part: Part, body: bytes) -> None:
        self.write(_key(part), body)

    def versions(self, product: str) -> set[str]:
        names = (key.split("/")[2:] for key in self.oldest(f"releases/{product}/"))
        return {name[0] for name in names if name[1:] == [MANIFEST] and VERSION.fullmatch(name[0])}

    # What that takes of the store

    @property
    @abstractmethod
    def backend(self) -> Backend:
        """Which kind of store it is in."""

    @abstractmethod
    def oldest(self, prefix: str) -> dict[str, First]:
        """The first version of every key below ``prefix``, also of those that are hidden by a deletion."""

    def read(self, key: str) -> bytes | None:
        """The oldest version of a key; None without one."""
        first = self.oldest(key).get(key)
        return None if first is None else self.fetch(key, first)

    @abstractmethod
    def fetch(self, key: str, first: First) -> bytes:
        """That version, which :meth:`oldest` has found. Raises DamagedError when it alone cannot be had."""

    @abstractmethod
    def write(self, key: str, body: bytes) -> None:
        """Put a key that is not there yet; of several at once, one succeeds. The others have to look whose it is."""

    @abstractmethod
    def inspect(self) -> tuple[datetime, str | None]:
        """The store's clock, and why what is written there would not stay; None when it stays."""

    def refused(self, code: str, said: str) -> AccountError:
        """``said``: the reason with its mend."""
        return AccountError(f"{self.endpoint}, {self.bucket}: {code}: {said}")

    def damaged(self, key: str, how: str = "is damaged in the store") -> DamagedError:
        return DamagedError(f"{self.bucket}/{key}: {how}; {self.mend}")

    def silent(self, error: Exception | str) -> AccountError:
        return AccountError(f"{self.endpoint}: the store does not answer ({error}); start it, or mend the address")


def place_of(account: Account | Mapping[str, Any]) -> AccountPlace:
    """The place that an account is, also in the plain form of a storage stack's outputs. Raises KeyError or ValueError.

    Each backend is imported here: it is built on this module.
    """
    plain: Mapping[str, Any] = account if isinstance(account, Mapping) else vars(account)
    if Backend(plain.get("backend", Backend.S3)) is Backend.AZURE:
        from components.azure_container import AzureContainer

        return AzureContainer.of({"access_key": "", "secret_key": "", "client_id": "", **plain})
    from components.bucket import Bucket

    return Bucket.of(plain)


def _key(part: Part) -> str:
    return f"releases/{part.product}/{part.version}/{part.name}"
