package authz_test

import data.authz

_explanations := {
	"a deny": {
		"input": _ask(object.union(_user(["writer"]), {"id": "u2"}), "GET", "/docs/{id}"),
		"want": {
			"held": {
				"doc:read": ["writer > doc:write > doc:read", "writer > reader > doc:read"],
				"doc:write": ["writer > doc:write"],
			},
			"granted_by": {},
			"would_grant": ["admin"],
			"foreign": ["id"],
		},
	},
	"an allow": {
		"input": _ask(_user(["reader"]), "GET", "/mine/{id}"),
		"want": {
			"held": {"doc:read": ["reader > doc:read"]},
			"granted_by": {"doc:read": ["reader"]},
			"would_grant": ["guest", "reader", "writer"],
		},
	},
	"a token's grant": {
		"input": _use(_token([], ["doc:write"], "grant"), "doc:read"),
		"want": {
			"held": {"doc:read": ["token"], "doc:write": ["token"]},
			"granted_by": {"doc:read": ["token"]},
			"would_grant": ["reader", "writer"],
		},
	},
	"a public route": {
		"input": _ask(_anonymous, "GET", "/health"),
		"want": {},
	},
	"an empty input": {"input": {}, "want": {}},
	"a subject that is no object": {
		"input": {"subject": "u1"},
		"want": {},
	},
	"a role that has ended": {
		"input": object.union(_ask(_user(["guest"]), "GET", "/mine/{id}"), {"context": {"now": 1001}}),
		"want": {"would_grant": ["reader", "writer"], "ended": {"doc:read": ["guest"]}},
	},
	"a role that has ended beside one that has not": {
		"input": object.union(_ask(_user(["guest", "reader"]), "GET", "/mine/{id}"), {"context": {"now": 1001}}),
		"want": {
			"held": {"doc:read": ["reader > doc:read"]},
			"granted_by": {"doc:read": ["reader"]},
			"would_grant": ["reader", "writer"],
		},
	},
	"a token that leaves a scope out": {
		"input": _ask(_token(["writer"], ["doc:read"], "restrict"), "POST", "/docs"),
		"want": {
			"held": {"doc:read": ["writer > doc:write > doc:read", "writer > reader > doc:read"]},
			"granted_by": {"doc:read": ["writer"]},
			"restricted": ["doc:write"],
		},
	},
	"conditions that are not met": {
		"input": _signing({"acr": "gold"}, "11.1.2.3"),
		"want": {"unmet": {"doc:sign": {"amr": ["mfa"], "cidr": ["10.0.0.0/8"]}}},
	},
}

_nothing := {
	"held": {},
	"granted_by": {},
	"would_grant": [],
	"ended": {},
	"restricted": [],
	"unmet": {},
	"foreign": [],
}

test_explain[name] if {
	some name, case in _explanations
	explanation := authz.explain with input as case.input
		with authz.closure as _closure
		with authz.roles as _roles
	explanation == object.union(_nothing, case.want)
}
