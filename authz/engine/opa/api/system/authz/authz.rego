# METADATA
# title: Who may use this server's API
# description: >-
#   Without this, whoever reaches an OPA server can replace its policies. With it: the rules of the contract, for
#   whoever shows the token whose SHA-256 is in the variable AUTHZ_OPA_TOKEN_SHA256, and the health check. Nothing else,
#   for nobody: no policy or data is written or read, no query of somebody's own is run.
#
#   Start OPA with `--authentication=token --authorization=basic`.
package system.authz

# METADATA
# entrypoint: true
default allow := false

allow if {
	input.method == "POST"
	input.path in _rules
	_known
}

allow if {
	input.method in {"GET", "HEAD"}
	input.path == ["health"]
}

# Metrics say nothing of who asked what, but much about the load.
allow if {
	input.method == "GET"
	input.path == ["metrics"]
	_known
}

_rules := {
	["v1", "data", "authz", "decision"],
	["v1", "data", "authz", "decisions"],
	["v1", "data", "authz", "explain"],
	["v1", "data", "authz", "catalogue"],
	["v1", "data", "authz", "candidates"],
}

_known if {
	expected := opa.runtime().env.AUTHZ_OPA_TOKEN_SHA256
	regex.match(`^[0-9a-f]{64}$`, expected)
	crypto.sha256(input.identity) == expected
}
