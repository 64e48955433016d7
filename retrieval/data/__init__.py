"""Training data: the manifest, the cache of prepared images, the sampler and the augmentation."""
