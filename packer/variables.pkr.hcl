# What differs from build to build. packer/bake sets them; by hand: packer build -var-file=... -only=... packer/

variable "epoch" {
  type        = string
  description = "Date of every file that a build step makes, in seconds since 1970: the template's."
  validation {
    condition     = length(var.epoch) > 0 && regex_replace(var.epoch, "[0-9]", "") == ""
    error_message = "The epoch must be a whole number of seconds since 1970."
  }
}

variable "image_version" {
  type        = string
  default     = "unversioned"
  description = "What a host says it is, in /etc/os-release: the last part of the image's folder in a release."
  validation {
    condition     = length(var.image_version) > 0 && regex_replace(var.image_version, "[a-z0-9._~^-]", "") == ""
    error_message = "The image_version must be of a-z, 0-9 and . _ ~ ^ -, as os-release wants it."
  }
}

variable "python" {
  type        = string
  default     = "python3"
  description = "A Python with testinfra, for the checks before sealing."
}

# qemu: on-premises and local

variable "disk" {
  type        = string
  default     = ""
  description = "The base disk: raw, with the root that the locked packages give, and no boot loader yet."
}

variable "disk_checksum" {
  type        = string
  default     = "none"
  description = "sha256:HEX of it, where it comes from elsewhere. packer/bake has just made it."
  validation {
    condition     = var.disk_checksum == "none" || (length(var.disk_checksum) == 71 && regex_replace(var.disk_checksum, "^sha256:[0-9a-f]*$", "") == "")
    error_message = "The disk_checksum must be sha256: and 64 hexadecimal digits."
  }
}

variable "kernel" {
  type        = string
  default     = ""
  description = "The root's own kernel: before the first build step the disk has no boot loader."
}

variable "initrd" {
  type        = string
  default     = ""
  description = "Its initial RAM disk."
}

variable "accelerator" {
  type        = string
  default     = "tcg"
  description = "kvm where a stock guest starts under it, otherwise tcg. Time-outs follow."
  validation {
    condition     = contains(["kvm", "tcg"], var.accelerator)
    error_message = "The accelerator must be kvm or tcg."
  }
}

variable "key" {
  type        = string
  default     = ""
  description = "A private SSH key for this build alone. Its public half reaches the guest as a credential, and no disk."
}

variable "credential" {
  type        = string
  default     = ""
  description = "That public half, in base64."
}

variable "output" {
  type        = string
  default     = "sealed"
  description = "The folder for the sealed disk. There must be none yet."
}

variable "console" {
  type        = string
  default     = "console.log"
  description = "The file for what the guest says on its console."
}

variable "disk_size" {
  type        = number
  default     = 4096
  description = "MiB while it is built. What is beyond the root is cut off afterwards."
  validation {
    condition     = var.disk_size >= 4096
    error_message = "The disk_size must be at least 4096 MiB."
  }
}

variable "memory" {
  type        = number
  default     = 1024
  description = "MiB while it is built."
  validation {
    condition     = var.memory >= 512
    error_message = "The memory must be at least 512 MiB."
  }
}
