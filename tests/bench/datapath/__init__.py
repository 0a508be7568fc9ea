"""What a request costs on its way to the model: direct, through Envoy, the auditor, gate and auditor, and LiteLLM."""
