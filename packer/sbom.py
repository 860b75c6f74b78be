"""The bill of materials of a host: its packages, as SPDX 2.3."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from apt import Package


def bill(packages: Iterable[Package], digest: str, epoch: int) -> str:
    """An SPDX document about the root with this tree digest, made of these packages."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = [
        {
            "SPDXID": f"SPDXRef-{quote(package.name, safe='').replace('%', '-')}",
            "name": package.name,
            "versionInfo": package.version,
            "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
            "externalRefs": [
                {
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": f"pkg:deb/debian/{package.name}@{quote(package.version, safe='')}?arch=amd64",
                }
            ],
        }
        for package in packages
    ]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "stele-host",
        "documentNamespace": f"https://spdx.org/spdxdocs/stele-host-{digest.removeprefix('sha256:')}",
        "creationInfo": {"created": created, "creators": ["Tool: stele"]},
        "packages": rows,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": row["SPDXID"],
            }
            for row in rows
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
