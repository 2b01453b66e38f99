"""Weight-sharing vision transformers over rank ratio and token count, after AutoFormer."""
