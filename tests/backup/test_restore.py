"""What was backed up comes back, each night on its own, and a night costs what changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.backup.site import Site

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def site(sites: Callable[..., Site]) -> Site:
    made = sites("first")
    made.start()
    return made


def test_every_night_is_restorable_on_its_own_and_costs_what_changed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add_orders("monday", 2000)
    site.add_files("monday", 30)
    site.send("monday", 40)
    site.send("monday", 20, queue="orders.stored")
    nights = [(site.backup()["name"], site.content())]

    size = int(site.sql("select pg_total_relation_size('orders')"))
    site.add_orders("tuesday", 60_000, 640)
    site.add_files("tuesday", 100, 20_000)
    site.sql("delete from orders where id in ('monday-1', 'monday-2')")
    site.runner.shell("cd /data/volumes/notify && rm monday-3.json && echo changed >monday-4.json")
    site.send("tuesday", 10)
    stored = site.account.stored()
    nights.append((site.backup()["name"], site.content()))
    changed = _changed(site)
    cost = site.account.stored() - stored
    with capsys.disabled():
        print(
            f"\na night with {changed / MEGABYTE:.1f} MB of changes stores {cost / MEGABYTE:.1f} MB:"
            f" {cost / changed:.2f}"
        )
    assert changed > 30 * MEGABYTE
    assert cost <= 1.2 * changed

    stored = site.account.stored()
    site.backup()
    idle = site.account.stored() - stored
    with capsys.disabled():
        print(f"a night without changes stores {idle / 1000:.1f} kB")
    assert idle < 0.01 * changed
    assert size < changed

    for number, (name, content) in enumerate(nights):
        again = site.restore(f"again{number}", restore=name)
        report = again.start()
        assert report["from"] == name
        assert again.content() == content
        again.remove()


def _changed(site: Site) -> int:
    """Bytes of the new rows as text, and of the new files."""
    rows = int(site.sql("select sum(length(o::text)) from orders o where id like 'tuesday-%'"))
    files = site.runner.shell("cd /data/volumes/notify && cat tuesday-*.json monday-4.json | wc -c")
    return rows + int(files)
