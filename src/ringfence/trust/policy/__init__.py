"""Policy: Rego rules decide. The rules stand in `policies/`; here are the engine and a project's own rules."""
