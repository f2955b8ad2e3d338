# A policy that needs a builtin from its host.
package authz

decision := {"allow": time.now_ns() > 0, "reason": "scope_granted", "scopes": []}

catalogue := {"scopes": [], "roles": []}
