#!/bin/bash
# Makes the disk start by itself: GRUB in its boot partition, for firmware of the BIOS kind, with a fixed configuration.
set -euo pipefail
mount -o remount,rw /
echo "boot: installing GRUB"
mkdir -p /boot/grub
grub-install --target=i386-pc --boot-directory=/boot --modules="part_gpt ext2" --no-floppy /dev/vda 2>&1 | tail -1
cat >/boot/grub/grub.cfg <<'CFG'
set timeout=0
serial --unit=0 --speed=115200
terminal_output serial console
search --no-floppy --set=root --label root
linux /vmlinuz root=PARTLABEL=root ro console=tty0 console=ttyS0,115200 audit=1 audit_backlog_limit=8192 apparmor=1 security=apparmor panic=10
initrd /initrd.img
boot
CFG
