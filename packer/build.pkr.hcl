build {
  sources = ["source.qemu.host"]

  provisioner "file" {
    source      = "${path.root}/blessed"
    destination = "/tmp"
  }

  # /tmp holds no programs, so bash reads them.
  provisioner "shell" {
    environment_vars = ["BLESSED=/tmp/blessed", "SOURCE_DATE_EPOCH=${var.epoch}"]
    execute_command  = "{{ .Vars }} bash {{ .Path }}"
    scripts = [
      "${path.root}/scripts/boot.sh",
      "${path.root}/scripts/bless.sh",
      "${path.root}/scripts/seal.sh",
    ]
  }
}
