build {
  sources = ["source.azure-arm.host"]

  provisioner "file" {
    source      = "${path.root}/../blessed"
    destination = "/tmp"
  }

  # /tmp holds no programs, so bash reads them.
  provisioner "shell" {
    environment_vars = ["BLESSED=/tmp/blessed", "IMAGE_VERSION=${var.image_version}"]
    execute_command  = "{{ .Vars }} bash {{ .Path }}"
    scripts = [
      "${path.root}/../scripts/boot.sh",
      "${path.root}/../scripts/bless.sh",
    ]
  }

  provisioner "shell-local" {
    inline = ["${var.python} ${path.root}/../checks.py ${build.Host} ${build.Port} ${var.key}"]
  }

  provisioner "shell" {
    environment_vars = ["SOURCE_DATE_EPOCH=${var.epoch}"]
    execute_command  = "{{ .Vars }} bash {{ .Path }}"
    scripts          = ["${path.root}/../scripts/seal.sh"]
  }
}
