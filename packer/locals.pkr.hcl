locals {
  # Where the processor is emulated everything takes ten times as long.
  patience = var.accelerator == "kvm" ? "3m" : "15m"

  # Two emulated ones wait for each other, and have no clock that is read without leaving the guest.
  processors = var.accelerator == "kvm" ? "2" : "1"

  # Packer gives a connection that nobody answers yet a minute; one that is refused is tried again soon.
  boot_wait = var.accelerator == "kvm" ? "1s" : "20s"

  # No further than is needed to bless it: what it runs starts once, blessed.
  target       = "systemd.unit=basic.target systemd.wants=ssh.service systemd.wants=systemd-networkd.service"
  command_line = "root=PARTLABEL=root ro console=ttyS0 panic=10 systemd.show_status=1 ${local.target}"
}
