# What differs from build to build; all of it is told by hand: packer build -var-file=... packer/azure

variable "subscription" {
  type        = string
  description = "The subscription that pays, by its ID."
  validation {
    condition     = length(var.subscription) == 36 && regex_replace(var.subscription, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "") == ""
    error_message = "The subscription must be an ID as `az account list` prints it: 32 hexadecimal digits in five groups."
  }
}

variable "resource_group" {
  type        = string
  description = "Where the base image is, the build takes place, and what is built goes. It must be there."
  validation {
    condition     = length(var.resource_group) > 0 && length(var.resource_group) <= 90 && regex_replace(var.resource_group, "[A-Za-z0-9_().-]", "") == ""
    error_message = "The resource_group must be 1 to 90 of A-Z, a-z, 0-9 and _ ( ) . -."
  }
}

variable "region" {
  type        = string
  description = "The region to which the gallery's version is copied: the resource group's, or another."
  validation {
    condition     = length(var.region) > 0 && regex_replace(var.region, "[a-z0-9]", "") == ""
    error_message = "The region must be a name as `az account list-locations` prints it, such as westeurope."
  }
}

variable "base_image" {
  type        = string
  description = "The managed image that was made of the base disk (docs/hosts.md)."
  validation {
    condition     = length(var.base_image) > 0 && regex_replace(var.base_image, "[A-Za-z0-9_.-]", "") == ""
    error_message = "The base_image must be the name of a managed image: A-Z, a-z, 0-9 and _ . -."
  }
}

variable "gallery" {
  type        = string
  description = "The gallery with the image definition stele-host."
  validation {
    condition     = length(var.gallery) > 0 && regex_replace(var.gallery, "[A-Za-z0-9_.]", "") == ""
    error_message = "The gallery must be of A-Z, a-z, 0-9 and _ .: galleries take no dash."
  }
}

variable "gallery_version" {
  type        = string
  description = "The version that is made there: three numbers. Which content it is, is in its image's name and in its hosts."
  validation {
    condition     = length(var.gallery_version) > 0 && regex_replace(var.gallery_version, "^[0-9]+[.][0-9]+[.][0-9]+$", "") == ""
    error_message = "The gallery_version must be three numbers, such as 1.0.0."
  }
}

variable "vm_size" {
  type        = string
  default     = "Standard_B2s"
  description = "What it is built on."
  validation {
    condition     = regex_replace(var.vm_size, "^(Standard|Basic)_[A-Za-z0-9_-]+$", "") == ""
    error_message = "The vm_size must be a name as `az vm list-sizes` prints it, such as Standard_B2s."
  }
}

variable "user" {
  type        = string
  default     = "stele"
  description = "The account that the base's agent makes for the build. Azure takes neither root nor admin."
  validation {
    condition     = length(var.user) > 0 && ! contains(["root", "admin", "administrator"], var.user) && regex_replace(var.user, "[a-z0-9_-]", "") == ""
    error_message = "The user must be of a-z, 0-9 and _ -, and neither root nor admin nor administrator."
  }
}

variable "key" {
  type        = string
  description = "A private SSH key for this build alone."
}

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
  description = "What a host says it is, in /etc/os-release: the last part of the image's folder in a release."
  validation {
    condition     = length(var.image_version) > 0 && regex_replace(var.image_version, "[a-z0-9]", "") == ""
    error_message = "The image_version must be of a-z and 0-9: it is a part of the image's name, too."
  }
}

variable "python" {
  type        = string
  default     = "python3"
  description = "A Python with testinfra, for the checks before sealing."
}
