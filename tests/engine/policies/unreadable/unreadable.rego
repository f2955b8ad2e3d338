# A policy whose catalogue is outside the contract.
package authz

decision := {"allow": false, "reason": "scope_missing", "scopes": []}

catalogue := {"scopes": "memory:read", "roles": []}
