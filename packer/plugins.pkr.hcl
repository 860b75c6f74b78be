# Since Packer 1.7 builders are plugins. Debian's 1.6 has this one built in and does not know this block: packer/bake
# leaves this file out for it.
packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "1.1.1"
    }
  }
}
