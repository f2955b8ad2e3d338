package authz_test

import data.authz

_ask(subject, action, resource) := {"subject": subject, "action": action, "resource": resource}

_alice := {"type": "user", "id": "alice"}

_bob := {"type": "user", "id": "bob"}

_record(id) := {"type": "record", "id": id}

_cases := {
	"a user on file reads a record": {"input": _ask(_alice, {"name": "read"}, _record("record-1")), "allow": true},
	"so does another": {"input": _ask(_bob, {"name": "read"}, _record("record-1")), "allow": true},
	"nobody else does": {
		"input": _ask({"type": "user", "id": "eve"}, {"name": "read"}, _record("record-1")),
		"allow": false,
	},
	"there is nothing else to read": {"input": _ask(_alice, {"name": "read"}, _record("record-9")), "allow": false},
	"an editor writes": {"input": _ask(_alice, {"name": "write"}, _record("record-1")), "allow": true},
	"an admin is no editor": {"input": _ask(_bob, {"name": "write"}, _record("record-1")), "allow": false},
	"an archived record is not an editor's any more": {
		"input": _ask(_alice, {"name": "write"}, _record("record-2")),
		"allow": false,
	},
	"the status that is sent counts": {
		"input": _ask(
			_alice,
			{"name": "write"},
			{"type": "record", "id": "record-1", "properties": {"status": "archived"}},
		),
		"allow": false,
	},
	"an admin writes what is archived": {"input": _ask(_bob, {"name": "write"}, _record("record-2")), "allow": true},
	"the role that is sent counts": {
		"input": _ask(
			{"type": "user", "id": "carol", "properties": {"role": "admin"}},
			{"name": "write"},
			_record("record-2"),
		),
		"allow": true,
	},
	"a soft delete is an editor's": {
		"input": _ask(_alice, {"name": "delete", "properties": {"soft": true}}, _record("record-1")),
		"allow": true,
	},
	"a hard one is nobody's": {
		"input": _ask(_alice, {"name": "delete", "properties": {"soft": false}}, _record("record-1")),
		"allow": false,
	},
	"no role at all": {
		"input": _ask({"type": "user", "id": "eve"}, {"name": "write"}, _record("record-2")),
		"allow": false,
	},
	"no status at all": {"input": _ask(_alice, {"name": "write"}, _record("record-9")), "allow": false},
	"another type of resource": {
		"input": _ask(_alice, {"name": "read"}, {"type": "file", "id": "record-1"}),
		"allow": false,
	},
	"nothing at all": {"input": {}, "allow": false},
}

test_decision[name] if {
	some name, case in _cases
	answer := authz.decision with input as case.input
	answer.allow == case.allow
}

test_decisions_are_the_decisions if {
	checks := [case.input | some case in _cases]
	answers := authz.decisions with input as {"checks": checks}
	[answer.allow | some answer in answers] == [case.allow | some case in _cases]
}

test_candidates_are_all_that_is_on_file if {
	authz.candidates == {
		"subjects": [_alice, _bob],
		"resources": [_record("record-1"), _record("record-2")],
		"actions": [{"name": "read"}, {"name": "write"}, {"name": "delete"}],
	}
}

test_every_reason_is_declared if authz.catalogue == {"scopes": [], "roles": [], "reasons": ["not_permitted"]}
