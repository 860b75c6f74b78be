"""Recommendations of the CIS Debian Linux 12 Benchmark (v1.1.0) that a blessed host follows, and how each is looked at.

Left out: those about what such a host does not have (desktop, cron, sudo, apt, other time or log daemons, more
accounts), separate /var/tmp, /var/log and /var/log/audit, 1.4.1 (a password of the boot loader), 3.3.1 (a host of
containers forwards), 4.1 (ufw, iptables: nftables it is), 5.1.20 (root is the only account, by key alone), 6.2.2, and
those of 6.2.3 about accounts that are not root.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from testinfra.host import Host


@dataclass(frozen=True)
class Check:
    """One recommendation: its number, what it says, and whether a host follows it."""

    id: str
    title: str
    holds: Callable[[Host], bool]
    sealed: bool = False  # only a host that has started by itself follows it


@cache
def _said(host: Host, command: str) -> str:
    """What a command says that many checks look at, and that stays as it is: an emulated processor takes a while."""
    return str(host.check_output(command))


def _module(name: str) -> Callable[[Host], bool]:
    loaded = f"^{name.replace('-', '_')} "

    def holds(host: Host) -> bool:
        said = host.check_output(f"modprobe -n -v {name} 2>&1; grep '{loaded}' /proc/modules; true")
        return ("/bin/false" in said or f"Module {name} not found" in said) and not re.search(
            loaded, said, re.MULTILINE
        )

    return holds


def _mount(path: str, *options: str) -> Callable[[Host], bool]:
    def holds(host: Host) -> bool:
        mount = host.mount_point(path)
        return bool(mount.exists and set(options) <= set(mount.options))

    return holds


def _sysctls(value: int, *keys: str) -> Callable[[Host], bool]:
    return lambda host: host.check_output(f"sysctl -n {' '.join(keys)}").split() == [str(value)] * len(keys)


def _net(value: int, version: int, name: str) -> Callable[[Host], bool]:
    return _sysctls(value, *(f"net.ipv{version}.conf.{scope}.{name}" for scope in ("all", "default")))


def _sshd(key: str, *allowed: str) -> Callable[[Host], bool]:
    return lambda host: sshd(host).get(key, "") in allowed


def sshd(host: Host) -> dict[str, str]:
    """What the SSH server really goes by."""
    lines = _said(host, "sshd -T").splitlines()
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def _installed(host: Host, *names: str) -> bool:
    shown = _said(host, "dpkg-query --show --showformat='${Status} ${Package}\\n'").splitlines()
    return bool({line.split()[-1] for line in shown if " ok installed " in line} & set(names))


def _absent(*names: str) -> Callable[[Host], bool]:
    return lambda host: not _installed(host, *names)


def _mode(path: str, mode: int, owner: str = "root", group: str = "root") -> Callable[[Host], bool]:
    def holds(host: Host) -> bool:
        found, *owners = host.check_output("stat -Lc '%%a %%U %%G' %s", path).split()
        return not int(found, 8) & ~mode and owners == [owner, group]

    return holds


def _audits(key: str) -> Callable[[Host], bool]:
    return lambda host: f"key={key}" in _said(host, "auditctl -l") or f"-k {key}" in _said(host, "auditctl -l")


def _started_with(word: str) -> Callable[[Host], bool]:
    return lambda host: word in host.check_output("cat /proc/cmdline").split()


def output(command: str, wanted: str) -> Callable[[Host], bool]:
    """Whether a command says just this."""
    return lambda host: host.check_output(command) == wanted


CHECKS = [
    *(
        Check(f"1.1.1.{number}", f"{module} is not available", _module(module))
        for number, module in {
            1: "cramfs",
            2: "freevxfs",
            3: "hfs",
            4: "hfsplus",
            5: "jffs2",
            8: "udf",
            9: "usb-storage",
        }.items()
    ),
    Check("1.1.2.1.1", "/tmp is separate", _mount("/tmp")),
    Check("1.1.2.1.2", "nodev on /tmp", _mount("/tmp", "nodev")),
    Check("1.1.2.1.3", "nosuid on /tmp", _mount("/tmp", "nosuid")),
    Check("1.1.2.1.4", "noexec on /tmp", _mount("/tmp", "noexec")),
    Check("1.1.2.2.2", "nodev on /dev/shm", _mount("/dev/shm", "nodev")),
    Check("1.1.2.2.3", "nosuid on /dev/shm", _mount("/dev/shm", "nosuid")),
    Check("1.1.2.2.4", "noexec on /dev/shm", _mount("/dev/shm", "noexec")),
    Check("1.1.2.4.1", "/var is separate", _mount("/var")),
    Check("1.1.2.4.2", "nodev on /var", _mount("/var", "nodev")),
    Check("1.1.2.4.3", "nosuid on /var", _mount("/var", "nosuid")),
    Check("1.3.1.2", "AppArmor is enabled", output("cat /sys/module/apparmor/parameters/enabled", "Y")),
    Check("1.4.2", "who reads the boot loader's configuration", _mode("/boot/grub/grub.cfg", 0o600)),
    Check("1.5.1", "addresses are random", _sysctls(2, "kernel.randomize_va_space")),
    Check("1.5.2", "ptrace is restricted", _sysctls(1, "kernel.yama.ptrace_scope")),
    Check("1.5.3", "no core dumps", _sysctls(0, "fs.suid_dumpable")),
    Check("1.5.4", "no prelink", _absent("prelink")),
    Check("1.5.5", "no automatic error reports", _absent("apport")),
    Check("1.6.4", "who writes /etc/motd", _mode("/etc/motd", 0o644)),
    Check("1.6.5", "who writes /etc/issue", _mode("/etc/issue", 0o644)),
    Check("1.6.6", "who writes /etc/issue.net", _mode("/etc/issue.net", 0o644)),
    Check("2.2.1", "no NIS client", _absent("nis")),
    Check("2.2.2", "no rsh client", _absent("rsh-client")),
    Check("2.2.3", "no talk client", _absent("talk")),
    Check("2.2.4", "no telnet client", _absent("telnet", "inetutils-telnet")),
    Check("2.2.5", "no LDAP client", _absent("ldap-utils")),
    Check("2.2.6", "no FTP client", _absent("ftp", "tnftp")),
    Check("2.3.2.2", "time is synchronised", output("systemctl is-enabled systemd-timesyncd", "enabled")),
    *(
        Check(f"3.2.{number}", f"{module} is not available", _module(module))
        for number, module in {1: "dccp", 2: "tipc", 3: "rds", 4: "sctp"}.items()
    ),
    Check("3.3.2", "no redirects are sent", _net(0, 4, "send_redirects")),
    Check("3.3.3", "bogus ICMP is ignored", _sysctls(1, "net.ipv4.icmp_ignore_bogus_error_responses")),
    Check("3.3.4", "broadcast ICMP is ignored", _sysctls(1, "net.ipv4.icmp_echo_ignore_broadcasts")),
    Check(
        "3.3.5", "redirects are not accepted", lambda host: all(_net(0, v, "accept_redirects")(host) for v in (4, 6))
    ),
    Check("3.3.6", "nor secure ones", _net(0, 4, "secure_redirects")),
    Check("3.3.7", "reverse paths are checked", _net(1, 4, "rp_filter")),
    Check("3.3.8", "no source routes", lambda host: all(_net(0, v, "accept_source_route")(host) for v in (4, 6))),
    Check("3.3.9", "martians are logged", _net(1, 4, "log_martians")),
    Check("3.3.10", "SYN cookies", _sysctls(1, "net.ipv4.tcp_syncookies")),
    Check("3.3.11", "no router advertisements", _net(0, 6, "accept_ra")),
    Check("4.3.1", "nftables is installed", lambda host: _installed(host, "nftables")),
    Check("4.3.4", "there is a table", output("nft list tables | grep -c 'inet stele'", "1")),
    Check(
        "4.3.6",
        "loopback is let in",
        lambda host: (
            'iif "lo" accept' in _said(host, "nft list table inet stele")
            or 'iifname "lo" accept' in _said(host, "nft list table inet stele")
        ),
    ),
    Check(
        "4.3.8",
        "the rest is dropped",
        lambda host: "policy drop" in host.check_output("nft list chain inet stele input"),
    ),
    Check("4.3.9", "nftables is enabled", output("systemctl is-enabled nftables", "enabled")),
    Check("5.1.1", "who reads sshd_config", _mode("/etc/ssh/sshd_config", 0o600)),
    Check("5.1.2", "who reads the host key", _mode("/var/lib/ssh/ssh_host_ed25519_key", 0o600)),
    Check("5.1.4", "access is limited", _sshd("allowusers", "root")),
    Check("5.1.5", "there is a banner", _sshd("banner", "/etc/issue.net")),
    Check(
        "5.1.6",
        "strong ciphers",
        lambda host: "cbc" not in sshd(host)["ciphers"] and "3des" not in sshd(host)["ciphers"],
    ),
    Check("5.1.7", "silent clients are dropped", _sshd("clientaliveinterval", "15")),
    Check("5.1.8", "nothing is forwarded", _sshd("disableforwarding", "yes")),
    Check("5.1.9", "no GSSAPI", _sshd("gssapiauthentication", "no")),
    Check("5.1.10", "no trust in hosts", _sshd("hostbasedauthentication", "no")),
    Check("5.1.11", "rhosts are ignored", _sshd("ignorerhosts", "yes")),
    Check("5.1.12", "strong key exchange", lambda host: "sha1" not in sshd(host)["kexalgorithms"]),
    Check("5.1.13", "login takes at most a minute", _sshd("logingracetime", "60")),
    Check("5.1.14", "logins are logged", _sshd("loglevel", "VERBOSE", "INFO")),
    Check(
        "5.1.15",
        "strong MACs",
        lambda host: not {"hmac-md5", "hmac-sha1", "umac-64@openssh.com"} & set(sshd(host)["macs"].split(",")),
    ),
    Check("5.1.16", "four tries", _sshd("maxauthtries", "4")),
    Check("5.1.17", "ten sessions", _sshd("maxsessions", "10")),
    Check("5.1.18", "few unknown at once", _sshd("maxstartups", "10:30:60")),
    Check("5.1.19", "no empty passwords", _sshd("permitemptypasswords", "no")),
    Check("5.1.21", "no environment from users", _sshd("permituserenvironment", "no")),
    Check("5.1.22", "PAM is used", _sshd("usepam", "yes")),
    Check("5.4.1.1", "passwords expire", output("awk '$1 == \"PASS_MAX_DAYS\" {print $2}' /etc/login.defs", "365")),
    Check("5.4.1.2", "and are kept a day", output("awk '$1 == \"PASS_MIN_DAYS\" {print $2}' /etc/login.defs", "1")),
    Check("5.4.2.1", "root alone has UID 0", output("awk -F: '$3 == 0 {print $1}' /etc/passwd", "root")),
    Check("5.4.2.2", "root alone has GID 0", output("awk -F: '$4 == 0 {print $1}' /etc/passwd | sort", "root")),
    Check("5.4.3.2", "shells time out", output("bash -lc 'echo $TMOUT'", "900")),
    Check("5.4.3.3", "umask", output("bash -lc umask", "0027")),
    Check("6.1.1.1.1", "journald is there", output("systemctl is-active systemd-journald", "active")),
    Check("6.2.1.1", "auditd is installed", lambda host: _installed(host, "auditd")),
    Check("6.2.1.2", "and runs", output("systemctl is-active auditd", "active")),
    Check("6.2.1.3", "from the first process on", _started_with("audit=1"), sealed=True),
    Check("6.2.1.4", "with room", _started_with("audit_backlog_limit=8192"), sealed=True),
    *(
        Check(f"6.2.3.{number}", f"audited: {key}", _audits(key))
        for number, key in {
            1: "scope",
            4: "time-change",
            5: "system-locale",
            8: "identity",
            10: "mounts",
            11: "session",
            12: "logins",
            14: "MAC-policy",
            19: "kernel_modules",
        }.items()
    ),
    Check("6.2.3.20", "audit rules cannot be changed", lambda host: "enabled 2" in host.check_output("auditctl -s")),
    *(
        Check(f"7.1.{number}", f"who writes {path}", _mode(path, mode, group=group))
        for number, path, mode, group in (
            (1, "/etc/passwd", 0o644, "root"),
            (3, "/etc/group", 0o644, "root"),
            (5, "/etc/shadow", 0o640, "shadow"),
            (7, "/etc/gshadow", 0o640, "shadow"),
        )
    ),
    Check("7.1.13", "no program makes root of others", output("find / -xdev -perm /6000 -type f | wc -l", "0")),
    Check("7.2.2", "no account without password", output("awk -F: '$2 == \"\" {print $1}' /etc/shadow", "")),
]
