"""The official path: released binaries, checked against the digests that GitHub publishes for them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from airgap.installer.layout import Checkout, InstallError, cache_folder, locked_version
from airgap.installer.progress import locked, say

_RELEASES = "https://api.github.com/repos"
_PROBE_SECONDS = 2.5
_DOWNLOAD_SECONDS = 60.0
_ARCHITECTURES = {"x86_64": ("x64", "amd64", "x86_64"), "aarch64": ("arm64", "arm64", "arm64")}


@dataclass(frozen=True)
class Release:
    """One released file and what to take from it. `members` maps paths in the archive to names in bin/; for a bare
    binary it is empty and `command` names it."""

    repository: str
    tag: str
    asset: str
    members: dict[str, str]
    command: str = ""


def reachable() -> bool:
    """Whether released files can be had: one quick look, no retry."""
    try:
        with urllib.request.urlopen(f"{_RELEASES}/pulumi/pulumi", timeout=_PROBE_SECONDS):  # noqa: S310
            return True
    except OSError:
        return False


def releases(checkout: Checkout) -> list[Release]:
    """What to download for the versions that the go.mod files lock."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise InstallError(f"no released binaries for {machine}: use STELE_TOOLCHAIN=airgap")
    pulumi_name, docker_name, crane_name = _ARCHITECTURES[machine]
    pulumi = locked_version(checkout, "cli", "github.com/pulumi/pulumi/pkg/v3")
    buildkit = locked_version(checkout, "build", "github.com/moby/buildkit")
    buildx = locked_version(checkout, "build", "github.com/docker/buildx")
    crane = locked_version(checkout, "build", "github.com/google/go-containerregistry")
    store = locked_version(checkout, "storage", "github.com/versity/versitygw")
    store_folder = f"versitygw_{store}_Linux_{crane_name}"
    cli = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")
    return [
        Release(
            "pulumi/pulumi", pulumi, f"pulumi-{pulumi}-linux-{pulumi_name}.tar.gz", {f"pulumi/{n}": n for n in cli}
        ),
        Release(
            "moby/buildkit", buildkit, f"buildkit-{buildkit}.linux-{docker_name}.tar.gz", {"bin/buildkitd": "buildkitd"}
        ),
        Release("docker/buildx", buildx, f"buildx-{buildx}.linux-{docker_name}", {}, command="buildx"),
        Release(
            "google/go-containerregistry", crane, f"go-containerregistry_Linux_{crane_name}.tar.gz", {"crane": "crane"}
        ),
        Release("versity/versitygw", store, f"{store_folder}.tar.gz", {f"{store_folder}/versitygw": "versitygw"}),
    ]


def download_all(checkout: Checkout, index: str = _RELEASES) -> list[Path]:
    """Every official tool, from the cache or downloaded now. Raises InstallError."""
    tools: list[Path] = []
    for release in releases(checkout):
        folder = cache_folder() / f"official-{release.asset}-{release.tag}"
        if not folder.is_dir():
            with locked(folder.with_name(folder.name + ".lock"), release.asset):
                if not folder.is_dir():
                    download(release, folder, index)
        tools += sorted(folder.iterdir())
    return tools


def download(release: Release, folder: Path, index: str = _RELEASES) -> None:
    """Fetches, verifies, unpacks beside `folder`, and renames. Raises InstallError."""
    say(f"downloading {release.asset}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.part-", dir=folder.parent))
    try:
        url, digest = _find_asset(release, index)
        with _open(url) as answer, (part / "asset").open("wb") as file:
            shutil.copyfileobj(answer, file)
        got = hashlib.sha256((part / "asset").read_bytes()).hexdigest()
        if f"sha256:{got}" != digest:
            raise InstallError(f"{release.asset}: downloaded sha256:{got}, published {digest}; nothing was installed")
        _unpack(part / "asset", release, part)
        part.chmod(0o755)
        part.rename(folder)
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InstallError(f"cannot download {release.asset} {release.tag}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def install_plugins(checkout: Checkout, plugins: dict[str, str]) -> None:
    """Lets the official CLI fetch the official plugins (name -> version) into the checkout's own PULUMI_HOME."""
    environment = os.environ | {"PULUMI_HOME": str(checkout.pulumi_home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    for name, version in plugins.items():
        command = [str(checkout.bin / "pulumi"), "plugin", "install", "resource", name, version]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise InstallError(
                f"`pulumi plugin install resource {name} {version}` failed: {done.stderr.strip()[-300:]}"
            )


def _find_asset(release: Release, index: str) -> tuple[str, str]:
    url = f"{index}/{release.repository}/releases/tags/{release.tag}"
    with _open(url) as answer:
        assets = json.load(answer)["assets"]
    for asset in assets:
        if asset["name"] == release.asset:
            return asset["browser_download_url"], asset["digest"]
    raise InstallError(f"release {release.tag} of {release.repository} has no file {release.asset}")


def _open(url: str) -> HTTPResponse:
    if not url.startswith(("https://", "http://127.0.0.1:")):  # the latter: the tests' own server
        raise InstallError(f"{url} is not https: nothing was installed")
    answer: HTTPResponse = urllib.request.urlopen(url, timeout=_DOWNLOAD_SECONDS)  # noqa: S310 - just checked
    return answer


def _unpack(archive: Path, release: Release, folder: Path) -> None:
    if release.command:
        archive.chmod(0o755)
        archive.rename(folder / release.command)
        return
    with tarfile.open(archive) as tar:
        for member, name in release.members.items():
            source = tar.extractfile(member)
            if source is None:
                raise InstallError(f"{release.asset}: {member} is not a file")
            with source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
            (folder / name).chmod(0o755)
    archive.unlink()
