# The role and scope policy of these tests: small, but with the shape of the default one.
package authz

default decision := {"allow": false, "reason": "unmatched_route", "scopes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": _needed} if {
	_needed
	count(_missing) == 0
}

decision := {"allow": false, "reason": "scope_missing", "scopes": _needed, "missing": _missing} if {
	_needed
	count(_missing) > 0
}

decisions := [one | some check in input.checks; one := data.authz.decision with input as check]

explain := {
	"held": {scope: ["role"] | some scope in _held},
	"would_grant": [role | some role, scopes in data.roles; every scope in _needed { scope in scopes }],
}

catalogue := {
	"scopes": sort({scope | some role; some scope in data.roles[role]}),
	"roles": sort(object.keys(data.roles)),
	"routes": [{"method": method, "path": path, "all_of": scopes} |
		some path, methods in data.routes
		some method, scopes in methods
	],
	"reasons": ["office_closed"],
}

_needed := data.routes[input.resource.route][input.action.name]

_missing := [scope | some scope in _needed; not scope in _held]

_held contains scope if {
	some role in input.subject.roles
	some scope in data.roles[role]
	_within(scope)
}

_within(_) if not input.subject.scopes

_within(scope) if scope in input.subject.scopes
