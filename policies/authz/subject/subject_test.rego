package authz.subject_test

import data.authz.subject

_closure := {
	"roles": {"r": {"a": 100, "b": 253402300799}},
	"scopes": {
		"a": {"implies": {"a": true}, "limits": []},
		"b": {"implies": {"a": true, "b": true}, "limits": [], "require": {"acr": ["gold"]}},
		"c": {"implies": {}, "limits": [], "require": {"weather": ["fine"]}},
	},
	"routes": {},
}

_user(roles) := {"type": "user", "id": "u1", "roles": roles, "properties": {"claims": {"acr": "gold"}}}

_cases := {
	"within its time": {
		"input": {"subject": _user(["r"]), "context": {"now": 100}},
		"want": {"a": ["r"], "b": ["r"]},
	},
	"after its time": {
		"input": {"subject": _user(["r"]), "context": {"now": 101}},
		"want": {"b": ["r"]},
	},
	"a clock that is no number": {
		"input": {"subject": _user(["r"]), "context": {"now": "noon"}},
		"want": {"b": ["r"]},
	},
	"nobody in particular": {
		"input": {"subject": object.union(_user(["r"]), {"type": "anonymous"})},
		"want": {},
	},
	"no type": {
		"input": {"subject": object.remove(_user(["r"]), ["type"])},
		"want": {},
	},
	"a token beside roles": {
		"input": {"subject": object.union(_user(["r"]), {"scopes": ["b"]}), "context": {"now": 1}},
		"want": {"a": ["r"], "b": ["r"]},
	},
	"a token instead of roles": {
		"input": {"subject": object.union(_user([]), {"scopes": ["a", "c"], "properties": {"scope_mode": "grant"}})},
		"want": {"a": ["token"]},
	},
	"a token of nobody": {
		"input": {"subject": {"scopes": ["a"], "properties": {"scope_mode": "grant"}}},
		"want": {},
	},
}

test_grants[name] if {
	some name, case in _cases
	grants := subject.grants(["a", "b", "c", "d"]) with input as case.input with data.authz.closure as _closure
	grants == case.want
}

test_a_condition_of_an_unknown_kind_is_never_met if {
	closure := object.union(_closure, {"roles": {"r": {"c": 253402300799}}})
	held := subject.granted_by("c") with input as {"subject": _user(["r"])} with data.authz.closure as closure
	held == ["r"]
	grants := subject.grants(["c"]) with input as {"subject": _user(["r"])} with data.authz.closure as closure
	grants == {}
}
