source "qemu" "host" {
  iso_url          = var.disk
  iso_checksum     = var.disk_checksum
  disk_image       = true
  disk_size        = "${var.disk_size}M"
  disk_interface   = "virtio"
  net_device       = "virtio-net"
  format           = "raw"
  output_directory = var.output
  vm_name          = "disk.raw"
  headless         = true
  boot_wait        = local.boot_wait
  accelerator      = var.accelerator

  ssh_username         = "root"
  ssh_private_key_file = var.key
  ssh_timeout          = local.patience
  shutdown_command     = "systemctl poweroff"
  shutdown_timeout     = local.patience

  qemuargs = [
    ["-m", "${var.memory}M"],
    ["-smp", local.processors],
    ["-kernel", var.kernel],
    ["-initrd", var.initrd],
    ["-append", local.command_line],
    ["-smbios", "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=${var.credential}"],
    ["-serial", "file:${var.console}"],
  ]
}
