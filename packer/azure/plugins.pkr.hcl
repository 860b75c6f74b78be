# As the folder above has it for QEMU: Debian's 1.6 has this builder built in, and this file is left out for it.
packer {
  required_plugins {
    azure = {
      source  = "github.com/hashicorp/azure"
      version = "2.3.3"
    }
  }
}
