"""An application, or somebody who has its database's password, names and fills things so that the runner might obey."""

from __future__ import annotations

from collections.abc import Callable

from tests.backup.engine import wait_until
from tests.backup.site import SECRETS, Site

PWNED = "/data/pwned"
# Whatever the runner executes of these leaves a file: words for psql, for SQL, and for a shell.
TABLES = [
    rf"a' \! touch {PWNED}-psql #",
    f"b', 1; copy (select 1) to program 'touch {PWNED}-sql'; --",
    f"c$(touch {PWNED}-shell)",
    "d\n| 7",
    'e" :x \\',
]
# Called by each row that is loaded: who is the superuser beneath an assumed role becomes it again.
TRAP = f"""
create function trap() returns boolean language plpgsql as $$ begin
    begin
        reset role;
        reset session authorization;
        copy (select 1) to program 'touch {PWNED}-trap';
    exception when others then null;
    end;
    return true;
end $$;
create table trapped (n integer check (trap()));
insert into trapped values (1), (2);
"""


def as_owner(site: Site, *statements: str) -> None:
    """As the application does: by the network, with its password."""
    owner, name = site.sql(
        "select pg_get_userbyid(datdba) || ' ' || datname from pg_database where datname = 'orders'"
    ).split()
    commands = [word for statement in statements for word in ("-c", statement)]
    env = {"PGHOST": "127.0.0.1", "PGUSER": owner, "PGDATABASE": name, "PGPASSWORD": SECRETS["database-password"]}
    site.database.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", *commands, env=env)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_what_an_application_stores_is_data_to_the_runner(sites: Callable[..., Site]) -> None:
    site = sites("first", captures={"database": "database", "notify": "files"})
    site.start()
    as_owner(site, *(f"create table {quoted(name)} as select generate_series(1, 3) as n" for name in TABLES), TRAP)
    # Latin-1, as a careless program writes it; and an option to whoever lists files without care.
    site.runner.shell(
        "cd /data/volumes/notify && date >$'caf\\xe9.json' && date >--files-from=x && date >$'two\\nlines'"
    )
    # What a session keeps for itself is in nobody's way, nor in any backup.
    session = ["-c", "create temporary table mine as select 1", "-c", "select pg_sleep(3600)"]
    env = {"PGHOST": "/run/stele", "PGUSER": "stele", "PGDATABASE": "orders"}
    site.database.container.exec_run(["psql", "-Xq", *session], environment=env, detach=True)
    wait_until("the session", lambda: site.sql("select count(*) from pg_tables where tablename = 'mine'") == "1")
    rows = {name: site.sql(f"select count(*) from {quoted(name)}") for name in TABLES}
    content = site.content()
    name = site.backup()["name"]

    again = site.restore("again")
    assert again.start()["from"] == name
    assert again.content() == content
    assert {name: again.sql(f"select count(*) from {quoted(name)}") for name in TABLES} == rows
    assert again.sql("select count(*) from trapped") == "2"
    for each in (site, again):
        assert each.runner.shell(f"ls -d {PWNED}* || true") == ""
