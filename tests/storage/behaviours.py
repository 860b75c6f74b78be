"""What AWS documents of S3 Object Lock, as a list; test_behaviours.py tries each on the store.

    python -m tests.storage.behaviours

prints the table: what AWS says, who tries, what AWS does, what was seen, and what a difference means for Stele.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .behaviour import (
    COMPLIANCE,
    GOVERNANCE,
    UNDATED,
    Behaviour,
    Difference,
    configures,
    dates,
    deletes,
    held,
    hold,
    on_hold,
    tries,
    writes,
    written_in,
)
from .conftest import free_port
from .world import DONE, REFUSED, Who, World, at, rule, until

GUIDE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
API = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_"
LOCKS, MANAGING, CONFIGURING = (f"{GUIDE}/object-lock{page}.html" for page in ("", "-managing", "-configure"))
VERSIONS, MARKERS = f"{GUIDE}/DeletingObjectVersions.html", f"{GUIDE}/DeleteMarker.html"
PUT, RETENTION, HOLD = f"{API}PutObject.html", f"{API}PutObjectRetention.html", f"{API}PutObjectLegalHold.html"
CONFIGURATION, DEFAULT = f"{API}PutObjectLockConfiguration.html", f"{API}DefaultRetention.html"
CUSTOMER, ADMINISTRATOR, KEEPER = Who
LATER = until(40)
HEADERS: dict[str, Any] = {"ObjectLockMode": COMPLIANCE, "ObjectLockRetainUntilDate": LATER}


def _overwritten(world: World, who: Who) -> str:
    first = world.put(world.firm)
    world.seal()
    world.s3(who, world.firm).put_object(Bucket=world.firm, Key=first["Key"], Body=b"evil")
    return "kept" if world.intact(first) and world.mode(first) == COMPLIANCE else "lost"


def _removed(world: World, who: Who) -> str:
    lock = world.lock_file()
    seen = world.tries(who, "delete_object", Bucket=lock["Bucket"], Key=lock["Key"])
    return f"{seen}, {'kept' if world.intact(lock) and world.mode(lock) == COMPLIANCE else 'lost'}"


def _removed_elsewhere(world: World, who: Who) -> str:
    where = world.held(world.firm)
    seen = world.tries(who, "delete_object", Bucket=where["Bucket"], Key=where["Key"])
    return seen if world.intact(where) else "lost"


def _read_removed(world: World, who: Who) -> str:
    lock = world.lock_file(removed=True)
    return world.tries(who, "get_object", Bucket=lock["Bucket"], Key=lock["Key"])


def _batch(world: World, who: Who) -> str:
    firm, loose = world.held(world.kept), world.put(world.kept)
    objects = [{name: each[name] for name in ("Key", "VersionId")} for each in (firm, loose)]
    seen = world.tries(who, "delete_objects", Bucket=world.kept, Delete={"Objects": objects})
    kept = [world.intact(each) for each in (firm, loose)]
    return "one by one" if kept == [True, False] else seen if all(kept) else "lost"


def _default_at_once(world: World, _who: Who) -> str:
    return world.mode(world.put(world.firm))


def _default_by_the_sealer(world: World, _who: Who) -> str:
    where = world.put(world.firm)
    world.seal()
    return world.mode(where)


def _default_is_for_new_ones(world: World, who: Who) -> str:
    where = world.put(world.new_bucket())
    world.admin.put_object_lock_configuration(Bucket=where["Bucket"], ObjectLockConfiguration=rule(Days=1))
    return world.tries(who, "delete_object", **where)


def _dates_stay(world: World, _who: Who) -> str:
    where = world.put(world.new_bucket())
    for days in (10, 20):
        world.admin.put_object_lock_configuration(Bucket=where["Bucket"], ObjectLockConfiguration=rule(Days=days))
        world.seal()
    return "kept" if world.date(where) < until(11) else "moved"


def _explicit(world: World, _who: Who) -> str:
    answer = world.admin.put_object(Bucket=world.firm, Key="explicit", Body=b"", **HEADERS)
    world.seal()
    where = {"Bucket": world.firm, "Key": "explicit", "VersionId": answer["VersionId"]}
    return "kept" if world.date(where) > until(39) else "moved"


def _written_with_headers(world: World, who: Who) -> str:
    answer = world.s3(who, world.kept).put_object(Bucket=world.kept, Key="with-headers", Body=b"", **HEADERS)
    return world.mode({"Bucket": world.kept, "Key": "with-headers", "VersionId": answer["VersionId"]})


def _no_digest(world: World, _who: Who) -> str:
    date = LATER.strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"x-amz-object-lock-mode": COMPLIANCE, "x-amz-object-lock-retain-until-date": date}
    return world.raw_put(world.free, headers)


def _refused_and_not_written(world: World, who: Who) -> str:
    bucket = world.new_bucket(lock=False)
    seen = world.tries(who, "put_object", Bucket=bucket, Key="k", Body=b"", **HEADERS)
    return f"{seen}, {'written' if world.admin.list_objects_v2(Bucket=bucket)['KeyCount'] else 'not written'}"


def _in_parts(bucket: str, *, headers: bool) -> Any:
    def run(world: World, who: Who) -> str:
        name = getattr(world, bucket)
        s3, where = world.s3(who, name), {"Bucket": name, "Key": "in-parts"}
        upload = where | {"UploadId": s3.create_multipart_upload(**where, **HEADERS if headers else {})["UploadId"]}
        tag = s3.upload_part(**upload, PartNumber=1, Body=b"1")["ETag"]
        whole = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]})
        world.seal()
        return world.mode(where | {"VersionId": whole["VersionId"]})

    return run


def _copied(to: str, **headers: Any) -> Any:
    def run(world: World, who: Who) -> str:
        source, target = world.held(world.firm), getattr(world, to)
        answer = world.s3(who, target).copy_object(Bucket=target, Key="copy", CopySource=source, **headers)
        world.seal()
        return world.mode({"Bucket": target, "Key": "copy", "VersionId": answer["VersionId"]})

    return run


def _shown(name: str) -> Any:
    """What HEAD shows of a version with a date and a hold."""

    def run(world: World, who: Who) -> str:
        where = world.held(world.firm)
        hold(world, "ON", **where)
        return str(world.s3(who, world.firm).head_object(**where).get(name, "nothing"))

    return run


def _date_beside_hold(world: World, _who: Who) -> str:
    where = world.held(world.free)
    before = world.date(where)
    for status in ("ON", "OFF"):
        hold(world, status, **where)
    return "kept" if (world.mode(where), world.date(where)) == (COMPLIANCE, before) else "moved"


def _asked(call: str, bucket: str) -> Any:
    """The code of the refusal of a question about something that has no lock."""

    def run(world: World, who: Who) -> str:
        where = world.put(world.free) if bucket == "free" else {"Bucket": world.plain}
        try:
            getattr(world.s3(who, where["Bucket"]), call)(**where)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return DONE

    return run


def _versioned(world: World, _who: Who) -> str:
    return str(world.admin.get_bucket_versioning(Bucket=world.new_bucket()).get("Status"))


def _full(*, marker: bool) -> Any:
    def run(world: World, who: Who) -> str:
        if marker:
            world.lock_file(removed=True)
        where = world.held(world.firm)
        seen = world.tries(who, "delete_bucket", Bucket=world.firm)
        return seen if world.intact(where) else "lost"

    return run


def _enabled_later(*, versioned: bool) -> Any:
    def run(world: World, who: Who) -> str:
        bucket = world.new_bucket(lock=False)
        if versioned:
            world.admin.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        return world.tries(who, "put_object_lock_configuration", Bucket=bucket, ObjectLockConfiguration=rule(Days=1))

    return run


def _limits(world: World, who: Who) -> str:
    bucket = world.new_bucket()
    limit = {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectRetention", "Condition": limit}
    return world.attempt(lambda: world.set_policy(bucket, deny | {"Resource": f"arn:aws:s3:::{bucket}/*"}))


def _presigned_deletion(world: World, who: Who) -> str:
    where = world.held(world.firm)
    seen = world.presigned(who, "delete_object", "DELETE", {}, **where)
    return seen if world.intact(where) else "lost"


def _presigned_bypass(world: World, who: Who) -> str:
    """The header is added by who has the address, and was not signed."""
    where = world.held(world.loose, GOVERNANCE)
    header = {"x-amz-bypass-governance-retention": "true"}
    return world.presigned(who, "delete_object", "DELETE", header, **where)


def _presigned_write(world: World, who: Who) -> str:
    date = LATER.strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"x-amz-object-lock-mode": COMPLIANCE, "x-amz-object-lock-retain-until-date": date}
    return world.presigned(who, "put_object", "PUT", headers, Bucket=world.firm, Key="presigned", **HEADERS)


def _firm(mode: str, days: float, *, bypass: bool = False) -> Any:
    return dates(held("firm"), mode, days, bypass=bypass)


def _expires(world: World) -> dict[str, Any]:
    return {"Bucket": world.firm}


EXPIRATION = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}
BY_DESIGN = "a customer's keys are given no such permission; nothing is at risk"
SAFE = "stricter than AWS: nothing is at risk"
SUSPEND = {"VersioningConfiguration": {"Status": "Suspended"}}


def _both(says: str, page: str, expected: str, run: Any, but: Difference | None = None) -> list[Behaviour]:
    return [Behaviour(says, page, who, expected, run, but) for who in (CUSTOMER, ADMINISTRATOR)]


BEHAVIOURS: list[Behaviour] = [
    # the bucket
    Behaviour("a bucket made with object lock has versioning", CONFIGURING, ADMINISTRATOR, "Enabled", _versioned),
    Behaviour(
        "object lock can be enabled on a bucket that has versioning",
        CONFIGURING,
        ADMINISTRATOR,
        DONE,
        _enabled_later(versioned=True),
    ),
    Behaviour("object lock needs versioning", CONFIGURING, ADMINISTRATOR, REFUSED, _enabled_later(versioned=False)),
    *_both(
        "versioning cannot be suspended on a bucket with object lock",
        MANAGING,
        REFUSED,
        tries("put_bucket_versioning", _expires, **SUSPEND),
    ),
    *_both(
        "object lock cannot be disabled",
        MANAGING,
        REFUSED,
        tries("put_object_lock_configuration", _expires, ObjectLockConfiguration={"ObjectLockEnabled": "Disabled"}),
    ),
    *_both("a bucket with versions is not deleted", f"{API}DeleteBucket.html", REFUSED, _full(marker=False)),
    *_both("nor one with versions behind delete markers", f"{API}DeleteBucket.html", REFUSED, _full(marker=True)),
    Behaviour(
        "the configuration of a bucket without lock is an error",
        MANAGING,
        ADMINISTRATOR,
        "ObjectLockConfigurationNotFoundError",
        _asked("get_object_lock_configuration", "plain"),
    ),
    Behaviour(
        "a lifecycle rule may be set, and removes no protected version",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        tries("put_bucket_lifecycle_configuration", _expires, LifecycleConfiguration=EXPIRATION),
        Difference(REFUSED, "versitygw has no lifecycle: nothing expires by itself, space is not given back either"),
    ),
    Behaviour(
        "nor may be set without permission",
        MANAGING,
        CUSTOMER,
        REFUSED,
        tries("put_bucket_lifecycle_configuration", _expires, LifecycleConfiguration=EXPIRATION),
    ),
    Behaviour(
        "a policy may limit dates by s3:object-lock-remaining-retention-days",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        _limits,
        Difference(REFUSED, "so no date can be left to customers: the sealer sets them; nothing is at risk"),
    ),
    # the default retention
    *[
        Behaviour(f"the default retention: {says}", DEFAULT, ADMINISTRATOR, expected, configures(**lock))
        for says, expected, lock in [
            ("36500 days are allowed", DONE, rule(Days=36_500)),
            ("a year is allowed", DONE, rule(Years=1)),
            ("none is allowed", DONE, {"ObjectLockEnabled": "Enabled"}),
            ("days and years together are not", REFUSED, rule(Days=1, Years=1)),
            ("0 days are not", REFUSED, rule(Days=0)),
            ("-1 days are not", REFUSED, rule(Days=-1)),
            ("36501 days are not", REFUSED, rule(Days=36_501)),
            ("101 years are not", REFUSED, rule(Years=101)),
            ("another mode is not", REFUSED, rule("FOREVER", Days=1)),
            ("without a mode it is not", REFUSED, {**rule(Days=1), "Rule": {"DefaultRetention": {"Days": 1}}}),
        ]
    ],
    Behaviour(
        "the default retention: without a period it is not",
        DEFAULT,
        ADMINISTRATOR,
        REFUSED,
        configures(**rule()),
        Difference(DONE, "such a rule protects nothing; Stele sets none, and the sealer passes it by"),
    ),
    Behaviour(
        "the default retention is set by who has the permission only",
        LOCKS,
        CUSTOMER,
        REFUSED,
        tries("put_object_lock_configuration", _expires, ObjectLockConfiguration=rule(Days=1)),
    ),
    Behaviour(
        "an object gets the default when it is written",
        LOCKS,
        CUSTOMER,
        COMPLIANCE,
        _default_at_once,
        Difference(UNDATED, "the rule protects it by its own age meanwhile; the sealer dates it within a second"),
    ),
    Behaviour("and has it as its own date then", LOCKS, CUSTOMER, COMPLIANCE, _default_by_the_sealer),
    Behaviour("uploads in parts get it", LOCKS, CUSTOMER, COMPLIANCE, _in_parts("firm", headers=False)),
    Behaviour("copies get it", LOCKS, CUSTOMER, COMPLIANCE, _copied("firm")),
    Behaviour(
        "the default is for what is written from then on",
        LOCKS,
        ADMINISTRATOR,
        DONE,
        _default_is_for_new_ones,
        Difference(REFUSED, f"what is there without a date is protected with it; {SAFE}"),
    ),
    Behaviour("another default moves no date that is there", LOCKS, ADMINISTRATOR, "kept", _dates_stay),
    Behaviour("an explicit date goes before the default", LOCKS, ADMINISTRATOR, "kept", _explicit),
    # deletion
    *_both("a version in COMPLIANCE is not deleted", LOCKS, REFUSED, deletes(held("firm"))),
    *_both("nor with the bypass header", LOCKS, REFUSED, deletes(held("firm"), bypass=True)),
    *_both("a version in GOVERNANCE is not deleted", LOCKS, REFUSED, deletes(held("loose", GOVERNANCE))),
    Behaviour(
        "with the header and the permission it is",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        deletes(held("loose", GOVERNANCE), bypass=True),
    ),
    *[
        Behaviour(
            "with the header and no permission it is not",
            MANAGING,
            who,
            REFUSED,
            deletes(held(bucket, GOVERNANCE), bypass=True),
        )
        for who, bucket in ((CUSTOMER, "loose"), (KEEPER, "kept"))
    ],
    Behaviour("a deletion of a version needs its permission", VERSIONS, CUSTOMER, REFUSED, deletes(written_in("firm"))),
    Behaviour("without any lock it is done", VERSIONS, ADMINISTRATOR, DONE, deletes(written_in("free"))),
    Behaviour(
        "once its date is over a version may be deleted",
        LOCKS,
        ADMINISTRATOR,
        DONE,
        deletes(lambda world: world.expired(world.free)),
    ),
    Behaviour("overwriting adds a version, the first is protected", LOCKS, CUSTOMER, "kept", _overwritten),
    *_both(
        "a deletion without a version adds a delete marker, the version is protected", MANAGING, "done, kept", _removed
    ),
    Behaviour("but not without the permission", VERSIONS, CUSTOMER, REFUSED, _removed_elsewhere),
    Behaviour(
        "the same where it is no lock file of restic",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        _removed_elsewhere,
        Difference(REFUSED, "the door: versitygw removes in steps, and loses what is written in between"),
    ),
    Behaviour("what is behind a delete marker is not found", MARKERS, CUSTOMER, REFUSED, _read_removed),
    Behaviour(
        "its version is still read", MARKERS, CUSTOMER, DONE, tries("get_object", lambda world: world.lock_file())
    ),
    Behaviour(
        "a delete marker is not protected",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        tries("delete_object", lambda world: world.lock_file(removed=True)),
    ),
    Behaviour(
        "its deletion needs the permission",
        MARKERS,
        CUSTOMER,
        REFUSED,
        tries("delete_object", lambda world: world.lock_file(removed=True)),
    ),
    Behaviour(
        "a delete marker gets no date",
        MANAGING,
        ADMINISTRATOR,
        REFUSED,
        tries(
            "put_object_retention",
            lambda world: world.lock_file(removed=True),
            Retention={"Mode": COMPLIANCE, "RetainUntilDate": LATER},
        ),
    ),
    Behaviour(
        "of many at once each is judged by itself",
        f"{API}DeleteObjects.html",
        ADMINISTRATOR,
        "one by one",
        _batch,
        Difference(REFUSED, "the door: keys in a body could hide a sealed version by another spelling"),
    ),
    # dates
    *_both("a date in COMPLIANCE is not shortened", LOCKS, REFUSED, _firm(COMPLIANCE, 1)),
    *_both("nor with the bypass header", LOCKS, REFUSED, _firm(COMPLIANCE, 1, bypass=True)),
    *_both("its mode is not changed", LOCKS, REFUSED, _firm(GOVERNANCE, 60, bypass=True)),
    Behaviour("it may be extended", LOCKS, ADMINISTRATOR, DONE, _firm(COMPLIANCE, 60)),
    Behaviour("by who has the permission", LOCKS, KEEPER, DONE, dates(held("kept"), COMPLIANCE, 60)),
    Behaviour("and nobody else", LOCKS, CUSTOMER, REFUSED, _firm(COMPLIANCE, 60)),
    Behaviour(
        "a date in GOVERNANCE is not shortened without the header",
        MANAGING,
        ADMINISTRATOR,
        REFUSED,
        dates(held("loose", GOVERNANCE), GOVERNANCE, 1),
    ),
    Behaviour(
        "with it, it is", MANAGING, ADMINISTRATOR, DONE, dates(held("loose", GOVERNANCE), GOVERNANCE, 1, bypass=True)
    ),
    *[
        Behaviour(
            "but not without the permission",
            MANAGING,
            who,
            REFUSED,
            dates(held(bucket, GOVERNANCE), GOVERNANCE, 1, bypass=True),
        )
        for who, bucket in ((CUSTOMER, "loose"), (KEEPER, "kept"))
    ],
    Behaviour(
        "it may be extended without the header",
        LOCKS,
        KEEPER,
        DONE,
        dates(held("kept", GOVERNANCE), GOVERNANCE, 60),
    ),
    Behaviour(
        "who may bypass GOVERNANCE may make it COMPLIANCE",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        dates(held("loose", GOVERNANCE), COMPLIANCE, 60, bypass=True),
    ),
    Behaviour(
        "and may remove it by an empty date",
        MANAGING,
        ADMINISTRATOR,
        DONE,
        tries("put_object_retention", held("loose", GOVERNANCE), Retention={}, BypassGovernanceRetention=True),
        Difference(REFUSED, SAFE),
    ),
    Behaviour(
        "a version that has no date gets one", RETENTION, ADMINISTRATOR, DONE, dates(written_in("firm"), COMPLIANCE, 60)
    ),
    Behaviour(
        "though not from who lacks the permission",
        RETENTION,
        CUSTOMER,
        REFUSED,
        dates(written_in("firm"), COMPLIANCE, 60),
    ),
    Behaviour(
        "a date shorter than the default, right after the writing, is a shortening",
        LOCKS,
        ADMINISTRATOR,
        REFUSED,
        dates(written_in("firm"), COMPLIANCE, 1),
        Difference(DONE, "the administrator only, within the second before the sealer; a customer's keys set no dates"),
    ),
    Behaviour(
        "a date in the past is refused", RETENTION, ADMINISTRATOR, REFUSED, dates(written_in("free"), COMPLIANCE, -1)
    ),
    Behaviour("another mode is refused", RETENTION, ADMINISTRATOR, REFUSED, dates(written_in("free"), "FOREVER", 1)),
    Behaviour(
        "a mode needs a date",
        RETENTION,
        ADMINISTRATOR,
        REFUSED,
        tries("put_object_retention", written_in("free"), Retention={"Mode": COMPLIANCE}),
    ),
    Behaviour(
        "a date needs a mode",
        RETENTION,
        ADMINISTRATOR,
        REFUSED,
        tries("put_object_retention", written_in("free"), Retention={"RetainUntilDate": LATER}),
    ),
    Behaviour(
        "there are no dates in a bucket without lock",
        RETENTION,
        ADMINISTRATOR,
        REFUSED,
        lambda world, who: (
            world.admin.put_object(Bucket=world.plain, Key="k", Body=b"")
            and world.tries(
                who,
                "put_object_retention",
                Bucket=world.plain,
                Key="k",
                Retention={"Mode": COMPLIANCE, "RetainUntilDate": LATER},
            )
        ),
    ),
    Behaviour(
        "a version without a date says so",
        f"{API}GetObjectRetention.html",
        ADMINISTRATOR,
        UNDATED,
        _asked("get_object_retention", "free"),
    ),
    # headers of a write
    Behaviour("a write may carry its date", PUT, KEEPER, COMPLIANCE, _written_with_headers),
    Behaviour("not without the permission", LOCKS, CUSTOMER, REFUSED, writes("firm", **HEADERS)),
    Behaviour("a mode alone is refused", PUT, ADMINISTRATOR, REFUSED, writes("free", ObjectLockMode=COMPLIANCE)),
    Behaviour("a date alone is refused", PUT, ADMINISTRATOR, REFUSED, writes("free", ObjectLockRetainUntilDate=LATER)),
    Behaviour(
        "a date in the past is refused",
        PUT,
        ADMINISTRATOR,
        REFUSED,
        writes("free", **HEADERS | {"ObjectLockRetainUntilDate": until(-1)}),
    ),
    Behaviour(
        "another mode is refused",
        PUT,
        ADMINISTRATOR,
        REFUSED,
        writes("free", **HEADERS | {"ObjectLockMode": "FOREVER"}),
    ),
    Behaviour(
        "in a bucket without lock they are refused, and nothing is written",
        PUT,
        ADMINISTRATOR,
        "refused, not written",
        _refused_and_not_written,
        Difference("refused, written", "never in a customer's bucket, which has a lock; nothing is at risk"),
    ),
    Behaviour(
        "they need a digest of the content",
        MANAGING,
        ADMINISTRATOR,
        REFUSED,
        _no_digest,
        Difference(DONE, "the signature has the SHA-256 of the content; nothing is at risk"),
    ),
    Behaviour(
        "an upload in parts may carry its date",
        f"{API}CreateMultipartUpload.html",
        ADMINISTRATOR,
        COMPLIANCE,
        _in_parts("free", headers=True),
    ),
    Behaviour(
        "a copy may carry its date", f"{API}CopyObject.html", ADMINISTRATOR, COMPLIANCE, _copied("free", **HEADERS)
    ),
    Behaviour("a copy does not inherit one", f"{API}CopyObject.html", ADMINISTRATOR, UNDATED, _copied("free")),
    # legal holds
    Behaviour(
        "a legal hold needs no date to protect",
        LOCKS,
        ADMINISTRATOR,
        REFUSED,
        deletes(on_hold(written_in("free"), "ON")),
    ),
    Behaviour(
        "nor does the bypass header lift it",
        LOCKS,
        ADMINISTRATOR,
        REFUSED,
        deletes(on_hold(written_in("free"), "ON"), bypass=True),
    ),
    Behaviour(
        "once lifted it protects no more", LOCKS, ADMINISTRATOR, DONE, deletes(on_hold(written_in("free"), "ON", "OFF"))
    ),
    Behaviour(
        "the date protects after the hold is lifted",
        LOCKS,
        ADMINISTRATOR,
        REFUSED,
        deletes(on_hold(held("free"), "ON", "OFF")),
    ),
    Behaviour(
        "the hold protects after the date is over",
        LOCKS,
        ADMINISTRATOR,
        REFUSED,
        deletes(lambda world: world.expired(world.free, ObjectLockLegalHoldStatus="ON")),
        Difference(
            DONE, "Stele places no holds: what must stay longer gets a longer date; customers delete in no case"
        ),
    ),
    Behaviour("a hold moves no date", LOCKS, ADMINISTRATOR, "kept", _date_beside_hold),
    Behaviour(
        "a hold is placed by who has the permission",
        LOCKS,
        KEEPER,
        DONE,
        tries("put_object_legal_hold", held("kept"), LegalHold={"Status": "ON"}),
    ),
    Behaviour(
        "and nobody else",
        LOCKS,
        CUSTOMER,
        REFUSED,
        tries("put_object_legal_hold", held("firm"), LegalHold={"Status": "ON"}),
    ),
    Behaviour("nor by a header", LOCKS, CUSTOMER, REFUSED, writes("firm", ObjectLockLegalHoldStatus="ON")),
    Behaviour(
        "it is on or off",
        HOLD,
        ADMINISTRATOR,
        REFUSED,
        tries("put_object_legal_hold", held("free"), LegalHold={"Status": "PERHAPS"}),
    ),
    # what is shown
    *_both("HEAD shows the mode to who may see it", MANAGING, COMPLIANCE, _shown("ObjectLockMode")),
    Behaviour("and the hold", MANAGING, ADMINISTRATOR, "ON", _shown("ObjectLockLegalHoldStatus")),
    Behaviour(
        "but not to who may not",
        MANAGING,
        CUSTOMER,
        "nothing",
        _shown("ObjectLockLegalHoldStatus"),
        Difference("ON", "a customer sees a hold on what is his; nothing is at risk"),
    ),
    Behaviour(
        "dates are shown to who has the permission",
        MANAGING,
        CUSTOMER,
        DONE,
        tries("get_object_retention", held("firm")),
    ),
    Behaviour(
        "holds are not to others",
        MANAGING,
        CUSTOMER,
        REFUSED,
        tries("get_object_legal_hold", on_hold(held("firm"), "ON")),
    ),
    # presigned requests
    Behaviour(
        "a presigned address reads a version",
        f"{GUIDE}/using-presigned-url.html",
        CUSTOMER,
        DONE,
        lambda world, who: world.presigned(who, "get_object", "GET", {}, **world.held(world.firm)),
    ),
    Behaviour(
        "a presigned deletion is done where there is no lock",
        f"{GUIDE}/using-presigned-url.html",
        ADMINISTRATOR,
        DONE,
        lambda world, who: world.presigned(who, "delete_object", "DELETE", {}, **world.put(world.free)),
    ),
    *_both(
        "a presigned deletion meets the lock as well", f"{GUIDE}/using-presigned-url.html", REFUSED, _presigned_deletion
    ),
    Behaviour(
        "a header that was not signed bypasses nothing",
        "https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html",
        ADMINISTRATOR,
        REFUSED,
        _presigned_bypass,
    ),
    Behaviour("a presigned write dates nothing without the permission", LOCKS, CUSTOMER, REFUSED, _presigned_write),
]


def table(rows: list[tuple[Behaviour, str, str]]) -> str:
    """Behaviour, who, expected by AWS, seen with the store's reason, and what a difference means."""
    lines = ["| behaviour | who | by AWS | seen | |", "|---|---|---|---|---|"]
    for each, seen, said in rows:
        reason = f" ({said})" if said and seen.startswith(REFUSED) else ""
        means = f"differs: {each.but.means}" if each.but else ""
        lines.append(f"| [{each.says}]({each.page}) | {each.who} | {each.expected} | {seen}{reason} | {means} |")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = at(Path(folder), free_port())
        try:
            rows = []
            for each in BEHAVIOURS:
                world.said = ""
                seen = each.run(world, each.who)
                rows.append((each, seen, world.said))
        finally:
            world.gateway.kill()
    print(table(rows))
    unlike = [each.says for each, seen, _ in rows if seen != each.here]
    differ = sum(bool(each.but) for each, _, _ in rows)
    print(f"\n{len(rows)} behaviours, {differ} of them differ from AWS as listed; not as listed: {unlike or 'none'}")


if __name__ == "__main__":
    main()
