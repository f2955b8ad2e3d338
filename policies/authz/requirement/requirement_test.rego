package authz.requirement_test

import data.authz.requirement

_scoped := {
	"public": false,
	"ways": [{"match": "all_of", "scopes": ["a"], "own": []}],
	"limits": [],
}

_limit := {"scope": "a", "count": 1, "per_seconds": 2}

_closure := {
	"scopes": {"a": {"implies": {"a": true}, "limits": [_limit]}},
	"routes": {"/a": {"GET": {"": _scoped, "a.example": {"public": true}}}},
}

_cases := {
	"a route": {"resource": {"type": "route", "route": "/a"}, "action": {"name": "GET"}},
	"a route at another host": {
		"resource": {"type": "route", "route": "/a", "host": "b.example"},
		"action": {"name": "GET"},
	},
	"a scope": {"resource": {"type": "scope", "id": "a"}, "action": {"name": "use"}},
}

test_active[name] if {
	some name, document in _cases
	requirement.active == _scoped with input as document with data.authz.closure as _closure
}

test_active_at_its_own_host if {
	document := {"resource": {"type": "route", "route": "/a", "host": "a.example"}, "action": {"name": "GET"}}
	requirement.active == {"public": true} with input as document with data.authz.closure as _closure
}

_unknown := {
	"unmatched_route": {"resource": {"type": "route", "route": "/b"}, "action": {"name": "GET"}},
	"unknown_scope": {"resource": {"type": "scope", "id": "b"}, "action": {"name": "use"}},
}

test_refusal[reason] if {
	some reason, document in _unknown
	not requirement.active with input as document with data.authz.closure as _closure
	requirement.refusal == reason with input as document with data.authz.closure as _closure
}

test_no_refusal_of_an_unknown_type if {
	not requirement.refusal with input as {"resource": {"type": "planet"}}
}

test_limits if {
	limits := requirement.limits(["a", "b"]) with data.authz.closure as _closure
		with input as _cases["a scope"]
	limits == [_limit]
}
