locals {
  # Where the processor is emulated everything takes ten times as long.
  patience = var.accelerator == "kvm" ? "3m" : "15m"

  command_line = "root=PARTLABEL=root ro console=ttyS0 panic=10 systemd.show_status=1"
}
