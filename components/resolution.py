"""What an environment's settings come to, checked before anything is declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.backup_status import OTHER_KEY, Status
from components.manifest import Manifest, RuntimeRelease
from components.release_store import ReleaseStore, store_of
from components.settings import EnvironmentSettings, SettingsError
from components.storage_reference import vendor_of


def resolve(settings: EnvironmentSettings) -> tuple[Manifest, dict[str, RuntimeRelease]]:
    """The release of the settings' version and its active runtimes. Raises ReleaseError or SettingsError."""
    store = store_of(settings.releases, vendor_of(settings.vendor))
    manifest = store.read(settings.product, settings.version)
    wanted = settings.runtimes if settings.runtimes is not None else tuple(manifest.runtimes)
    for name in [*wanted, *(key for key in settings.sizing if key != "default")]:
        if name not in manifest.runtimes:
            key = "runtimes" if name in wanted else "sizing"
            raise SettingsError(
                key, name, f"runtimes of release {manifest.version}: {', '.join(sorted(manifest.runtimes))}"
            )
    if settings.storage is None:  # without an account nothing is backed up
        wanted = tuple(name for name in wanted if not manifest.runtimes[name].recipe.tasks)
    else:
        _require_runner(settings.storage, manifest, wanted)
    if settings.fenced:  # without a front door nothing is accepted
        wanted = tuple(name for name in wanted if not manifest.runtimes[name].recipe.front)
    active = {name: manifest.runtimes[name] for name in sorted(wanted)}
    for name, runtime in active.items():
        missing = [need for need in runtime.recipe.needs if need not in active]
        if missing:
            raise SettingsError(
                "runtimes", list(wanted), f"{name} needs {', '.join(missing)}: add it, or leave {name} out"
            )
        if settings.size_of(name) not in runtime.recipe.sizing:
            sizes = ", ".join(sorted(runtime.recipe.sizing))
            raise SettingsError("sizing", str(settings.size_of(name)), f"sizes of {name} in this release: {sizes}")
    _check_secrets(settings, store, manifest, active)
    return manifest, active


def _require_runner(storage: str, manifest: Manifest, wanted: Sequence[str]) -> None:
    """With an account, volumes are opened by the task runner: without it their owners would wait until they fail."""
    runners = [name for name, runtime in manifest.runtimes.items() if runtime.recipe.tasks]
    if not runners:
        raise SettingsError(
            "storage",
            storage,
            f"none with release {manifest.version}, which has no task runner; pulumi config rm storage",
        )
    if not set(runners) & set(wanted):
        raise SettingsError(
            "runtimes", list(wanted), f"with storage, {runners[0]} too, which loads and backs up: add it to the list"
        )


def _check_secrets(
    settings: EnvironmentSettings, store: ReleaseStore, manifest: Manifest, active: Mapping[str, RuntimeRelease]
) -> None:
    """Every secret that an active runtime names must be there, and none that no published release knows.

    One that only a newer release knows must not stand in the way of going back.
    """
    for name, runtime in active.items():
        for secret in runtime.recipe.secrets:
            if secret not in settings.secrets:
                raise SettingsError(
                    secret, "(not set)", f"a secret for {name}; pulumi config set --secret {secret} VALUE"
                )
    known = _secrets_of(manifest)
    for secret in sorted(settings.secrets.keys() - known):  # the vendor's store is asked only about strange ones
        elsewhere = (_secrets_of(store.read(manifest.product, version)) for version in store.versions(manifest.product))
        if not any(secret in secrets for secrets in elsewhere):
            allowed = f"secrets of release {manifest.version}: {', '.join(sorted(known))}; pulumi config rm {secret}"
            raise SettingsError(secret, "(unknown key)", allowed)


def check_schema(settings: EnvironmentSettings, manifest: Manifest, before: Mapping[str, Any]) -> None:
    """A release that the data of this stack cannot follow is refused. ``before``: the stack's last outputs."""
    at, needs, oldest = before.get("schema"), manifest.schema["needs"], manifest.schema["oldest"]
    if settings.storage is None or at is None:
        return
    if at > needs:
        raise SettingsError(
            "version",
            settings.version,
            f"one that runs on schema {at:g}, where this stack's data is (this one needs {needs}). Earlier data and "
            f"this version: in a stack of its own, with restore: {pulumi.get_stack()}/<backup from before>",
        )
    if at < oldest:
        raise SettingsError(
            "version", settings.version, f"one that starts from schema {at:g} (this one from {oldest}); deploy it first"
        )


def wanted_of(settings: EnvironmentSettings) -> str:
    """The backup that is to be loaded: a name, ``newest`` or ``vanilla``."""
    return settings.restore.rpartition("/")[2]


def check_backups(settings: EnvironmentSettings, status: Status, *, new: bool) -> None:
    """Stop before anything is declared: an unknown backup in any case, a bad store where nothing runs yet.

    ``status`` is that of the stack whose backups are restored. A stack that runs is not stopped by a store that is
    down: its output ``backup`` says so.
    """
    if status.store is not None and (new or settings.restore != "newest"):
        raise SettingsError("storage", settings.storage, f"an account that answers ({status.store})")
    source, wanted = settings.restore.rpartition("/")[0], wanted_of(settings)
    if status.reason == OTHER_KEY and wanted != "vanilla" and settings.restore != "newest":
        raise SettingsError("backup-key", "(secret)", _key_of(source or pulumi.get_stack()))
    if source and wanted == "newest" and status.last is None:  # it was asked for: nothing else may take its place
        raise SettingsError("restore", settings.restore, f"one that has verified backups in this account, not {source}")
    if wanted not in {"newest", "vanilla", *status.backups}:
        known = ", ".join(status.backups[-5:]) or "none yet"
        raise SettingsError("restore", settings.restore, f"newest, vanilla, or a backup; the last ones: {known}")


def _key_of(source: str) -> str:
    """Which ``backup-key`` opens the backups of a stack, and how it is set here."""
    stack = pulumi.get_stack()
    setting = f"pulumi config set --secret backup-key -s {stack}"
    mend = f"set it: {setting}" if source == stack else f"pulumi config get backup-key -s {source} | {setting}"
    return f"the one that the backups of {source} were made with; {mend}"


def _secrets_of(manifest: Manifest) -> set[str]:
    return {secret for runtime in manifest.runtimes.values() for secret in runtime.recipe.secrets}
