source "azure-arm" "host" {
  use_azure_cli_auth = true # `az login`, or the identity of the machine that builds: no secret is given
  subscription_id    = var.subscription

  custom_managed_image_name                = var.base_image
  custom_managed_image_resource_group_name = var.resource_group
  os_type                                  = "Linux"
  vm_size                                  = var.vm_size
  build_resource_group_name                = var.resource_group
  async_resourcegroup_delete               = false

  managed_image_name                = "stele-host-${var.image_version}"
  managed_image_resource_group_name = var.resource_group
  shared_image_gallery_destination {
    subscription        = var.subscription
    resource_group      = var.resource_group
    gallery_name        = var.gallery
    image_name          = "stele-host"
    image_version       = var.gallery_version
    replication_regions = [var.region]
  }

  ssh_username         = var.user
  ssh_private_key_file = var.key
  ssh_timeout          = "15m"
}
