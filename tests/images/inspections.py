"""What is looked for in every image. Each inspection returns what it found, one line each: nothing is good."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from tests.images.image import Entry, Image

USER = 10001
HOOKS = ("opt/stele/health", "opt/stele/diagnose", "opt/stele/run")
STATE = {"data", "run/stele"}  # the runtime's own
SCRATCH = {"tmp", "var/tmp", "run/lock"}  # everybody's
BLESSED = re.compile(r"(data|etc|opt/stele|run/stele)(/|$)")
_LEFT = re.compile(
    r"(root|home|tmp|var/tmp|var/log|var/cache|var/lib/apt|etc/apt|source|build|layer)/"  # nothing is kept there
    r"|(.*/)?\.([a-z_]*history|lesshst|viminfo|wget-hsts|git|ssh|aws|docker|netrc|npmrc|m2|npm|cache|gnupg)(/|$)"
    r"|etc/(machine-id|ssl/private/.+|ssh/.+key.*)$"
)
_SECRET = r"password|passphrase|secret|token|credential|api[_-]?key|private[_-]?key"
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_SECRET_LINE = re.compile(
    rf"^[ \t]*(?:export )?[\w.-]*(?:{_SECRET})[\w.-]*[ \t]*[=:][ \t]*\S|<[\w-]*(?:{_SECRET})[\w-]*>[^<\s]|://[^/\s:@]+:[^/\s:@]+@",
    re.IGNORECASE | re.MULTILINE,
)
_PATH_IN_HISTORY = re.compile(r"(?<![\w.])/(?:[\w.-]+/?)+")
_PATHS_OF_THE_BUILD = ("/layer/", "/flows/", "/config/", "/opt/stele/run")

Inspection = Callable[[Image], list[str]]


def runs_as_stele(image: Image) -> list[str]:
    """The user in the configuration, and the accounts: one superuser, one user, nobody with a password."""
    tree, found = image.tree(), []
    if image.settings.get("User") != f"{USER}:{USER}":
        found.append(f"the image runs as {image.settings.get('User')!r}")
    accounts = [line.split(":") for line in _text(tree, "etc/passwd").splitlines()]
    if [account[0] for account in accounts if account[2] == "0"] != ["root"]:
        found.append("/etc/passwd: root is not the only superuser")
    people = {account[0]: account[2:4] for account in accounts if 1000 <= int(account[2]) < 65534}
    if people != {"stele": [str(USER), str(USER)]}:
        found.append(f"/etc/passwd: users are {people}")
    fields = [line.split(":") for name in ("passwd", "shadow") for line in _text(tree, f"etc/{name}").splitlines()]
    return found + [f"{name} has a password" for name, secret, *_ in fields if secret not in ("x", "*", "!", "!*")]


def starts_without_a_shell(image: Image) -> list[str]:
    """Entry and health check in exec form: signals reach the runtime, and no shell reads their words."""
    found, settings = [], image.settings
    if settings.get("Entrypoint") != ["/opt/stele/run"] or settings.get("Cmd"):
        found.append(f"the entry is {settings.get('Entrypoint')} {settings.get('Cmd')}")
    check = (settings.get("Healthcheck") or {}).get("Test", ["NONE"])
    if check[0] not in ("CMD", "NONE"):
        found.append(f"the health check is {check}")
    return found


def hooks_are_in_place(image: Image) -> list[str]:
    """The hooks exist, everybody may run them, and only root may change them."""
    tree, found = image.tree(), []
    for path in HOOKS:
        hook = tree.get(path)
        if hook is None or hook.kind != "file" or not hook.size:
            found.append(f"/{path} is missing")
        elif hook.mode & 0o111 != 0o111 or hook.mode & 0o022 or hook.owner:
            found.append(f"{hook} is not a hook")
    return found


def nothing_is_writable(image: Image) -> list[str]:
    """Only the state is the runtime's own; what everybody may write is a sticky folder that is known."""
    tree, found = image.tree(), []
    for path in STATE:
        folder = tree.get(path)
        if folder is None or (folder.kind, folder.owner, folder.group, folder.mode) != ("folder", USER, USER, 0o750):
            found.append(f"{folder or '/' + path} is not the runtime's own folder")
    for path, entry in tree.items():
        if path.partition("/")[0] == "dev" or entry.kind == "link" or path in STATE or path.startswith("data/"):
            continue
        if entry.mode & 0o002 and not (path in SCRATCH and entry.mode & 0o1000):
            found.append(f"{entry} is world-writable")
        if USER in (entry.owner, entry.group):
            found.append(f"{entry} belongs to the runtime")
    return found + [f"volume {path} is declared" for path in image.settings.get("Volumes") or {}]


def nothing_gives_privileges(image: Image) -> list[str]:
    """No program that runs as somebody else, no capabilities, no devices but the usual ones."""
    found = [f"{entry} is set-id" for entry in image.everything() if entry.kind == "file" and entry.mode & 0o6000]
    found += [f"{entry} has capabilities" for entry in image.everything() if entry.capabilities]
    return found + [
        f"{entry} is a device"
        for entry in image.everything()
        if entry.kind == "device" and not entry.path.startswith("dev/")
    ]


def nothing_is_left_over(image: Image) -> list[str]:
    """No histories, homes, caches, logs, package lists or sources, in any layer."""
    return [f"{entry} was left" for entry in image.everything() if _LEFT.match(entry.path)]


def no_secret_is_inside(image: Image) -> list[str]:
    """Neither in a file of any layer, nor in the environment, the labels or the history."""
    found = [f"{entry} holds {mark}" for entry in image.everything() for mark in entry.marks]
    found += [
        f"{entry} says '{line[0].strip()[:20]}...'"
        for layer in image.layers[1:]  # the base has nothing but packages, whose examples hold placeholders
        for entry in layer.entries
        if _configures(entry) and (line := _SECRET_LINE.search(entry.text))
    ]
    settings = image.settings
    named = [variable.partition("=")[0] for variable in settings.get("Env") or []] + list(settings["Labels"])
    found += [f"{name} looks like a secret" for name in named if _SECRET_NAME.search(name)]
    said = [str(step.get("created_by", "")) for step in image.config["history"]]
    found += [f"history: {step[:30]}" for step in said if _SECRET_NAME.search(step) or _SECRET_LINE.search(step)]
    paths = {path for step in said for path in _PATH_IN_HISTORY.findall(step)} - set(_PATHS_OF_THE_BUILD)
    return found + [f"history: path {path}" for path in sorted(paths)]


def _configures(entry: Entry) -> bool:
    return entry.path.startswith(("etc/", "opt/stele/config/"))


def certificates_are_there(image: Image) -> list[str]:
    """The CA bundle, and the jvm family's own form of it."""
    tree, found = image.tree(), []
    if _text(tree, "etc/ssl/certs/ca-certificates.crt").count("-----BEGIN CERTIFICATE-----") < 100:
        found.append("the CA bundle is not there, or too short")
    store = tree.get("etc/ssl/certs/java/cacerts")
    if image.family == "jvm" and (store is None or store.size < 100_000):
        found.append("Java's CA bundle is not there, or too short")
    return found


def plain_files_do_not_run(image: Image) -> list[str]:
    """Certificates and configuration are no programs."""
    data = re.compile(r"etc/ssl/|opt/stele/(config|flows)/")
    files = [entry for entry in image.tree().values() if entry.kind == "file" and data.match(entry.path)]
    return [f"{entry} is executable" for entry in files if entry.mode & 0o111]


def layers_are_the_four(image: Image) -> list[str]:
    """Base, blessed, flows, configuration: each holds only what is its own, and the upper two are small."""
    if len(image.layers) != 4:
        return [f"{len(image.layers)} layers"]
    base, blessed, flows, configuration = image.layers
    found = [f"base: {entry}" for entry in base.files() if entry.path.startswith(("opt/stele", "etc/stele"))]
    found += [f"blessed: {entry}" for entry in blessed.files() if not BLESSED.match(entry.path)]
    found += [f"flows: {entry}" for entry in flows.files() if not entry.path.startswith("opt/stele/flows/")]
    found += [f"config: {entry}" for entry in configuration.files() if not entry.path.startswith("opt/stele/config/")]
    found += [f"layer {number} is empty" for number, layer in enumerate(image.layers, 1) if not layer.files()]
    upper, whole = flows.size + configuration.size, sum(layer.size for layer in image.layers)
    return found + ([f"flows and configuration are {upper} of {whole} bytes"] if upper > whole / 100 else [])


def newer_than(image: Image, epoch: int) -> list[str]:
    """What is dated after ``epoch`` (seconds since 1970): it would differ in the next build."""
    found = [f"{entry} is dated {entry.mtime:.0f}" for entry in image.everything() if entry.mtime > epoch]
    dates = [image.config["created"], *(step["created"] for step in image.config["history"])]
    return found + [f"created {date}" for date in dates if datetime.fromisoformat(date).timestamp() > epoch]


def packages(image: Image) -> set[str]:
    """``name=version`` of every Debian package, as the image's own list of packages says."""
    found = set()
    for stanza in _text(image.tree(), "var/lib/dpkg/status").strip().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in stanza.splitlines() if re.match(r"(Package|Version|Status): ", line)
        )
        state = "" if fields["Status"] == "install ok installed" else f" ({fields['Status']})"
        found.add(f"{fields['Package']}={fields['Version']}{state}")
    return found


def _text(tree: dict[str, Entry], path: str) -> str:
    return tree[path].text if path in tree else ""


INSPECTIONS: list[Inspection] = [
    runs_as_stele,
    starts_without_a_shell,
    hooks_are_in_place,
    nothing_is_writable,
    nothing_gives_privileges,
    nothing_is_left_over,
    no_secret_is_inside,
    certificates_are_there,
    plain_files_do_not_run,
    layers_are_the_four,
]
