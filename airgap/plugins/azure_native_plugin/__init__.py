"""The offline `azure-native` plugin: previews only. What Azure itself would have to answer is refused."""
