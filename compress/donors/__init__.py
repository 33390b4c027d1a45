"""Networks trained on ImageNet whose backbones are members of the spaces: where they are and how they are read."""
