"""An account in an S3 object-lock store, as a resource: a dynamic provider around :class:`ObjectLockStore`."""

from __future__ import annotations

import os
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from components.object_lock import ObjectLockStore, Terms
from components.object_lock_keys import Keys, StoreError, administrator


class Accounts(ResourceProvider):
    """Create, read, update and delete of an account in an S3 object-lock store.

    The administrator's keys come from the file that STELE_STORE_ADMIN names, and never enter the state.
    """

    serialize_as_secret_always = False  # there is no secret in this class

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        try:
            _terms(news)
        except StoreError as error:
            return CheckResult(news, [CheckFailure("", str(error))])
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        # Another address of the same store is no reason to close an account.
        replaces = [] if _olds["customer"] == _news["customer"] else ["customer"]
        changed = _given(_olds) != _given(_news) or not _olds.get("access_key")
        return DiffResult(changes=changed, replaces=replaces, stables=[], delete_before_replace=False)

    def create(self, props: dict[str, Any]) -> CreateResult:
        terms = _terms(props)
        keys = _store(props).open(terms)
        return CreateResult(terms.bucket, _given(props) | _made(terms, keys))

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        store, terms = _store(_news), _terms(_news)
        store.amend(terms)
        keys = _keys(_olds)
        if not store.admits(terms, keys):
            keys = store.open(terms)
        return UpdateResult(_given(_news) | _made(terms, keys))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        store = _store(props)
        found = store.inspect(str(props["customer"]))
        if found is None:
            return ReadResult(None, {})
        keys = _keys(props)
        if not store.admits(found, keys):
            keys = Keys("", "")  # what was changed by hand is mended by the next `up`
        now = {"retention": found.retention, "locked": found.locked} | _made(found, keys)
        return ReadResult(id_, props | now)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        _store(_props).close(str(_props["customer"]))


class ObjectLockAccount(Resource):
    """The account as a resource: inputs are :class:`Terms` and the endpoint."""

    endpoint: pulumi.Output[str]
    bucket: pulumi.Output[str]
    retention: pulumi.Output[int]
    locked: pulumi.Output[bool]
    access_key: pulumi.Output[str]
    secret_key: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        outputs = {"bucket": None, "access_key": None, "secret_key": None}
        secret = pulumi.ResourceOptions(additional_secret_outputs=["secret_key"])
        super().__init__(Accounts(), name, props | outputs, pulumi.ResourceOptions.merge(opts, secret))


def _terms(props: dict[str, Any]) -> Terms:
    return Terms(str(props["customer"]), int(props["retention"]), bool(props["locked"]))


def _given(props: dict[str, Any]) -> dict[str, Any]:
    terms = _terms(props)
    return {
        "endpoint": props["endpoint"],
        "customer": terms.customer,
        "retention": terms.retention,
        "locked": terms.locked,
    }


def _keys(props: dict[str, Any]) -> Keys:
    return Keys(str(props["access_key"]), str(props["secret_key"]))


def _made(terms: Terms, keys: Keys) -> dict[str, Any]:
    return {"bucket": terms.bucket, "access_key": keys.access, "secret_key": keys.secret}


def _store(props: dict[str, Any]) -> ObjectLockStore:
    path = os.environ.get("STELE_STORE_ADMIN")
    if not path:
        raise StoreError(
            "STELE_STORE_ADMIN is not set: let it name the file with the keys of the store's administrator, or: "
            'eval "$(make -s env)"'
        )
    return ObjectLockStore(str(props["endpoint"]), administrator(path))
