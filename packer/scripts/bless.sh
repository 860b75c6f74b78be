#!/bin/bash
# Blesses a host: what security and operations expect of every one. Runs as root in the booted base, its root writable.
# Files come from blessed/ (uploaded to $BLESSED); here is what is not a file. Numbers: CIS Debian Linux 12 Benchmark v1.1.0.
set -euo pipefail
echo "bless: files"
chmod -R u=rwX,go=rX "${BLESSED:?}" # whatever the umask of the checkout was
cp -r --no-preserve=ownership "$BLESSED/." /
chown -R root:root /opt/stele
chmod 0600 /etc/ssh/sshd_config /etc/ssh/sshd_config.d/* # 5.1.1
chmod 0640 /etc/audit/rules.d/*
chmod 0644 /etc/motd /etc/issue /etc/issue.net # 1.6.4-6
chmod 0600 /boot/grub/grub.cfg # 1.4.2
mkdir -m 0755 /srv/stele # a place for the folder of state: the root is read-only
augenrules >/dev/null # into the file that is loaded; at boot /etc is read-only
echo "bless: services"
export SYSTEMCTL_SKIP_SYSV=1 # or each one with an init script too is enabled a second time, and everything is read anew
systemctl enable --quiet --no-reload nftables auditd ssh docker systemd-timesyncd systemd-networkd systemd-resolved \
    stele-identity stele-state stele-fence stele-join stele-ship-logs
# No logins on consoles, and no reboot by three keys at one.
systemctl mask --quiet --no-reload getty@.service serial-getty@.service console-getty.service ctrl-alt-del.target debug-shell.service \
    systemd-journal-upload.service
echo "bless: accounts"
passwd --quiet --lock root
sed -Ei 's/^(PASS_MAX_DAYS).*/\1 365/; s/^(PASS_MIN_DAYS).*/\1 1/; s/^(UMASK).*/\1 027/' /etc/login.defs # 5.4.1.1-2, 5.4.3.3
rm -f /etc/ssh/ssh_host_*
printf 'IMAGE_ID=stele-host\nIMAGE_VERSION=%s\n' "${IMAGE_VERSION:?}" >>/usr/lib/os-release
echo "bless: it takes effect, so that it can be looked at"
systemctl daemon-reload
systemd-tmpfiles --create /usr/lib/tmpfiles.d/stele.conf
systemctl restart systemd-sysctl systemd-resolved nftables docker ssh
systemctl start multi-user.target # what was not there yet, or had no folder for its log
