"""Who joins and who leaves, on bad days: machines installed again, addresses mistyped or used again, others' Swarms."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import pytest

from hosts.wanted import HostError, Wanted
from tests.unit.swarms import Swarm, World, host, labels, members

M, W = "manager", "worker"
THREE = "1 2 3"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def three(world: World) -> tuple[dict[str, Wanted], Swarm]:
    """A cluster of three managers: a at 1, b at 2, c at 3."""
    hosts = {name: host(name, address, peers=THREE) for name, address in zip("abc", THREE.split(), strict=True)}
    return hosts, world.cluster(*hosts.values())


def test_the_first_makes_the_swarm_and_the_others_join_it(world: World) -> None:
    world.add("1", "2", "3")
    for name, address, role in (("a", "1", M), ("b", "2", W), ("c", "3", W)):
        world.roll(host(name, address, role, peers=THREE)).converge()
    swarm = world["1"].managed()
    assert swarm.cluster == "cluster"
    assert members(swarm) == [("a", "1", M), ("b", "2", W), ("c", "3", W)]


@pytest.mark.parametrize("size", [1, 3])
def test_again_nothing_changes(world: World, size: int) -> None:
    hosts = [host(name, address, peers=THREE) for name, address in zip("abc", THREE.split(), strict=True)][:size]
    swarm = world.cluster(*hosts)
    for each in hosts:
        world.roll(each, each).converge()
    assert len(members(swarm)) == size


def test_patched_by_new_machines_the_old_ones_leave(world: World) -> None:
    hosts, swarm = three(world)
    world.add("11", "12", "13", image="new")
    for name, address in zip("abc", ("11", "12", "13"), strict=True):
        world.roll(host(name, address, peers="11 12 13", image="new"), hosts[name]).converge()
    assert members(swarm) == [("a", "11", M), ("b", "12", M), ("c", "13", M)]
    assert [world[each].swarm for each in THREE.split()] == [None] * 3


def test_a_worker_that_goes_with_a_patch_finds_the_managers_of_today(world: World) -> None:
    hosts = [host(name, address, peers=THREE) for name, address in zip("abc", THREE.split(), strict=True)]
    gone = host("d", "4", W, peers=THREE)
    swarm = world.cluster(*hosts, gone)
    world.add("11", "12", "13", image="new")
    for old, address in zip(hosts, ("11", "12", "13"), strict=True):
        world.roll(host(old.name, address, peers="11 12 13", image="new"), old).converge()
    world.roll(gone, gone).remove()
    assert members(swarm) == [("a", "11", M), ("b", "12", M), ("c", "13", M)]
    assert world["4"].swarm is None


def test_a_machine_installed_again_at_its_address_is_not_made_to_leave(world: World) -> None:
    hosts, swarm = three(world)
    world.add("2", image="new")
    world.roll(host("b", "2", peers=THREE, image="new"), hosts["b"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]
    assert world["2"].swarm is swarm


def test_nor_when_the_same_image_was_installed(world: World) -> None:
    hosts, swarm = three(world)
    world.add("2")
    world.roll(hosts["b"], hosts["b"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]
    assert world["2"].swarm is swarm


def test_a_lost_machine_is_replaced_by_another(world: World) -> None:
    hosts, swarm = three(world)
    world["2"].lose()
    world["2"].dead = True
    world.add("5")
    world.roll(host("b", "5", peers="1 5 3"), hosts["b"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "5", M), ("c", "3", M)]


def test_a_machine_that_is_another_host_by_now_stays_when_the_old_one_is_removed(world: World) -> None:
    hosts, swarm = three(world)
    world.add("2")
    world.roll(host("e", "2", W, peers=THREE)).converge()
    world.roll(hosts["b"], hosts["b"]).remove()
    assert members(swarm) == [("a", "1", M), ("c", "3", M), ("e", "2", W)]
    assert world["2"].swarm is swarm


def test_a_machine_under_another_address_is_the_same_machine(world: World) -> None:
    hosts, swarm = three(world)
    world["2"].volumes = ["orders-data"]
    world.also("2", "22")
    world.roll(host("b", "22", peers="1 22 3"), hosts["b"]).converge()
    assert len(swarm.nodes) == 3
    assert world["22"].swarm is swarm


def test_a_machine_that_serves_another_cluster_by_now_stays_there(world: World) -> None:
    hosts, swarm = three(world)
    world.add("2")
    other = Swarm("other")
    world["2"].join(other, M, {"stele.host": "b"})
    world.roll(hosts["b"], hosts["b"]).remove()
    assert members(swarm) == [("a", "1", M), ("c", "3", M)]
    assert world["2"].swarm is other


def test_a_machine_that_left_and_is_used_again_is_not_made_to_leave_by_a_late_update(world: World) -> None:
    hosts, swarm = three(world)
    moved = host("b", "5", peers="2 5 3")
    world.add("5")
    world.roll(moved, hosts["b"]).converge()  # what its `up` was killed after
    world.roll(host("a", "2", peers="2 5 3"), hosts["a"]).converge()
    world.roll(moved, hosts["b"]).converge()
    assert members(swarm) == [("a", "2", M), ("b", "5", M), ("c", "3", M)]
    assert world["2"].swarm is swarm


@pytest.mark.parametrize(("cluster", "whose"), [("production", "of cluster production"), (None, "that is no cluster")])
def test_a_mistyped_address_touches_nobody_elses_swarm(world: World, cluster: str | None, whose: str) -> None:
    foreign = Swarm(cluster)
    world.add("1", "2", "3")
    world["2"].join(foreign, M, {"stele.host": "a"} if cluster else None)
    before = members(foreign)
    for name, address in zip("abc", THREE.split(), strict=True):
        with pytest.raises(HostError, match=rf"^host {name}: looks: 2 manages a Swarm {whose}"):
            world.roll(host(name, address, peers=THREE)).converge()
    assert members(foreign) == before
    assert foreign.cluster == cluster
    assert world["1"].swarm is world["3"].swarm is None


def test_a_worker_of_another_swarm_is_told(world: World) -> None:
    _, swarm = three(world)
    world.add("4", "9")
    other = Swarm("other")
    world["9"].join(other, M)
    world["4"].join(other, W)
    with pytest.raises(HostError, match=r"^host d: looks: 4 is in another Swarm: if nobody needs it: docker -H ssh://"):
        world.roll(host("d", "4", W, peers=THREE)).converge()
    assert world["4"].swarm is other
    assert len(swarm.nodes) == 3


def test_a_machine_that_is_another_host_is_told(world: World) -> None:
    _, swarm = three(world)
    with pytest.raises(HostError, match="2 is host b of this cluster: each host needs a machine of its own"):
        world.roll(host("d", "2", peers=THREE)).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]


def test_the_only_manager_under_another_name_joins_and_the_old_one_goes(world: World) -> None:
    old, worker = host("a", "1", peers="1 2"), host("w", "2", W, peers="1")
    swarm = world.cluster(old, worker)
    world.add("3")
    world.roll(host("m", "3", peers="3 2")).converge()
    world.roll(host("w", "2", W, peers="3"), worker).converge()
    world.roll(old, old).remove()
    assert members(swarm) == [("m", "3", M), ("w", "2", W)]


def test_roles_are_swapped(world: World) -> None:
    a, b = host("a", "1", peers="1 2"), host("b", "2", W, peers="1")
    swarm = world.cluster(a, b)
    world.roll(host("b", "2", M, peers="1 2"), b).converge()
    world.roll(host("a", "1", W, peers="2"), a).converge()
    assert members(swarm) == [("a", "1", W), ("b", "2", M)]


def test_a_host_that_is_just_starting_is_waited_for(world: World) -> None:
    hosts, swarm = three(world)
    node, world["1"].pending = world["1"].node, 12
    world.roll(hosts["a"], hosts["a"]).converge()
    assert world["1"].node == node
    assert len(swarm.nodes) == 3


def test_when_nobody_knows_whether_a_host_is_there_its_data_stays(world: World) -> None:
    hosts, swarm = three(world)
    world["2"].volumes = ["orders-data"]
    swarm.nodes[world["2"].node]["Status"]["State"] = "unknown"  # after a change of leaders
    with pytest.raises(HostError, match=r"^host b: it alone has volume orders-data: move that data first"):
        world.roll(hosts["b"], hosts["b"]).remove()
    assert world["2"].swarm is swarm


def test_a_host_that_is_called_lost_and_answers_keeps_its_data(world: World) -> None:
    hosts, swarm = three(world)
    world["2"].volumes = ["orders-data"]
    world["2"].lose()
    with pytest.raises(HostError, match=r"^host b: it alone has volume orders-data"):
        world.roll(hosts["b"], hosts["b"]).remove()
    assert world["2"].swarm is swarm


def test_the_last_host_keeps_its_data_and_a_destroy_is_refused_first(world: World) -> None:
    only = host("a", "1", peers="1")
    swarm = world.cluster(only)
    world["1"].volumes = ["orders-data"]
    for act in (world.roll(only, only).check_unused, world.roll(only, only).remove):
        with pytest.raises(HostError, match=r"^host a: it alone has volume orders-data"):
            act()
    assert world["1"].swarm is swarm


def test_a_service_on_every_node_is_a_use_of_the_cluster(world: World) -> None:
    only = host("a", "1", peers="1")
    world.cluster(only).services.append({"ID": "s", "Spec": {"Name": "logs", "Mode": {"Global": {}}, "Labels": None}})
    with pytest.raises(HostError, match="logs still runs on this cluster"):
        world.roll(only, only).check_unused()


def test_a_last_host_that_cannot_be_told_to_leave_is_not_gone(world: World) -> None:
    only = host("a", "1", peers="1")
    world.cluster(only)
    world["1"].dead = True
    with pytest.raises(HostError, match=r"ssh://root@1 \(root@1 refuses SSH: timed out\)"):
        world.roll(only, only).remove()


def test_who_may_have_the_swarm_and_does_not_answer_is_told_with_the_reason(world: World) -> None:
    world.add("1", "3")
    with pytest.raises(HostError, match=r"who may have the Swarm does not answer: .*root@2 refuses SSH: timed out"):
        world.roll(host("a", "1", peers=THREE)).converge()
    assert world["1"].swarm is None


def test_a_cluster_is_not_given_up_while_its_managers_decide(world: World) -> None:
    hosts, swarm = three(world)
    swarm.services.append(
        {"ID": "s", "Spec": {"Name": "edge", "Mode": {"Global": {}}, "Labels": {"stele.stack": "dev"}}}
    )
    with pytest.raises(HostError, match="dev still runs on this cluster"):
        world.roll(hosts["a"], hosts["a"]).check_unused(given_up=True)
    world["2"].volumes = ["orders-data"]
    with pytest.raises(HostError, match="it alone has volume orders-data"):
        world.roll(hosts["b"], hosts["b"]).remove(given_up=True)
    assert world["2"].swarm is swarm


def test_one_that_is_lost_may_be_given_up(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    hosts, swarm = three(world)
    for address in "12":
        world[address].dead = True
    swarm.leaderless = 99
    world.roll(hosts["a"], hosts["a"]).check_unused(given_up=True)
    for name in "bc":
        world.roll(hosts[name], hosts[name]).remove(given_up=True)
    assert world["3"].swarm is None
    assert "host b: 2 does not answer, and is given up: switch it off" in capsys.readouterr().err


def test_a_cluster_that_chooses_a_leader_is_not_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosts.swarm_view.PATIENCE", 60)
    hosts, swarm = three(world)
    world["3"].volumes = ["orders-data"]
    swarm.leaderless = 12
    with pytest.raises(HostError, match="it alone has volume orders-data"):
        world.roll(hosts["c"], hosts["c"]).remove(given_up=True)
    assert world["3"].swarm is swarm


def test_machines_that_let_nobody_in_are_not_lost(world: World) -> None:
    hosts, _ = three(world)
    for address in THREE.split():
        world[address].shut = True
    for act in (world.roll(hosts["a"]).check_unused, world.roll(hosts["a"]).remove):
        with pytest.raises(HostError, match=r"Permission denied \(publickey\)\.: it is there"):
            act(given_up=True)


def test_a_patch_that_was_killed_and_called_off_leaves_no_manager_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, swarm = three(world)
    world.add("11", image="new")
    with monkeypatch.context() as killed:
        killed.setattr("hosts.roll.Roll._ready", lambda *_: sys.exit(137))  # it has joined, and has no label
        with pytest.raises(SystemExit):
            world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert ("", "11", M) in members(swarm)
    world.roll(hosts["a"], hosts["a"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]
    assert (world["11"].swarm, swarm.notes) == (None, {})


def test_nor_does_a_host_that_was_to_be_added(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, swarm = three(world)
    world.add("4", "5")
    with monkeypatch.context() as killed:
        killed.setattr("hosts.roll.Roll._ready", lambda *_: sys.exit(137))
        with pytest.raises(SystemExit):
            world.roll(host("d", "4", W, peers=THREE)).converge()
    world.roll(host("d", "5", W, peers=THREE)).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M), ("d", "5", W)]
    assert (world["4"].swarm, swarm.notes) == (None, {})


@pytest.mark.parametrize("when", ["before", "after"])
def test_nor_one_that_is_switched_off(world: World, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    hosts, swarm = three(world)
    world.add("11", image="new")
    with monkeypatch.context() as killed:
        stop = "hosts.roll.Roll._ready" if when == "after" else "tests.unit.swarms.Client.join"
        killed.setattr(stop, lambda *_, **__: sys.exit(137))
        with pytest.raises(SystemExit):
            world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    world["11"].lose()
    world["11"].dead = True
    world.roll(hosts["a"], hosts["a"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]
    assert swarm.notes == {}


def test_a_host_that_joins_slowly_is_waited_for(world: World) -> None:
    hosts, swarm = three(world)
    world.add("11", image="new")
    world["11"].slow_to_join = True
    world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert members(swarm) == [("a", "11", M), ("b", "2", M), ("c", "3", M)]


def test_a_host_that_cannot_join_stops_it_and_tells_why_with_its_console(world: World) -> None:
    hosts, swarm = three(world)
    swarm.serve("intake", 2)
    world.add("11", image="new")
    world["11"].join_refused = "remote CA does not match fingerprint"
    with pytest.raises(HostError, match=r"^host a: joins: .* fingerprint.*\. Last lines of its console:\n  a \| what "):
        world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]
    assert swarm.where("intake") == ["1", "2"]


def test_a_host_that_gives_up_joining_is_told_before_its_time_is_over(world: World) -> None:
    hosts, swarm = three(world)
    world.add("11", image="new")
    world["11"].slow_to_join, world["11"].gives_up = True, "no route to host"
    wanted = replace(host("a", "11", peers="11 2 3", image="new"), window=3600)
    with pytest.raises(HostError, match=r"^host a: joins: its engine has given up: no route to host\. Last lines"):
        world.roll(wanted, hosts["a"]).converge()
    assert members(swarm) == [("a", "1", M), ("b", "2", M), ("c", "3", M)]


def test_what_runs_is_elsewhere_before_a_host_leaves(world: World) -> None:
    hosts, swarm = three(world)
    swarm.serve("intake", 2)
    world.add("11", image="new")
    world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert len(swarm.running("intake")) == 2
    assert "1" not in swarm.where("intake")


def test_what_does_not_get_healthy_elsewhere_stops_it_and_all_is_as_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts, swarm = three(world)
    swarm.serve("intake", 2)
    before = [task["ID"] for task in swarm.running("intake")]
    swarm.healthy = False
    world.add("11", image="new")
    ticks = itertools.count()
    monkeypatch.setattr("hosts.steps.time.monotonic", lambda: next(ticks) / 10)
    with pytest.raises(HostError, match=r"^host a: intake gets healthy elsewhere: not within 1 s: .*: starting no l"):
        world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert [task["ID"] for task in swarm.running("intake")] == before
    assert {node["Spec"]["Availability"] for node in swarm.nodes.values()} == {"active"}
    assert swarm.nodes[world["1"].node]["Spec"]["Labels"].keys() == labels(hosts["a"]).keys()


def test_a_volume_that_is_made_meanwhile_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, swarm = three(world)
    world.add("11", image="new")
    monkeypatch.setattr("hosts.leaving.Leaving.empty", lambda _: world["1"].volumes.append("orders-data"))
    with pytest.raises(HostError, match="host a: it alone has volume orders-data"):
        world.roll(host("a", "11", peers="11 2 3", image="new"), hosts["a"]).converge()
    assert world["1"].swarm is swarm


def test_a_mistyped_address_of_somebody_elses_worker_is_named(world: World) -> None:
    world.add("1", "2", "8", "9")
    other = Swarm("production")
    world["9"].join(other, M)
    world["8"].join(other, W)
    with pytest.raises(HostError, match=r"^host a: looks: 8 is in a Swarm of cluster production, not of cluster"):
        world.roll(host("a", "1", peers="1 8 2")).converge()
    assert world["1"].swarm is None


def test_of_a_machine_that_is_not_ours_nothing_is_told(world: World) -> None:
    world.add("1", image="other")
    with pytest.raises(HostError, match=r"^host a: looks: root@1 runs host image other, .*cluster$"):
        world.roll(host("a", "1", peers="1")).converge()
