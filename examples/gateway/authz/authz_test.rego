package authz_test

import data.authz

_users := {
	"rick": {"roles": ["admin", "evil_genius"]},
	"morty": {"roles": ["editor"]},
	"beth": {"roles": ["viewer"]},
}

_ask(user, method, route) := {
	"subject": {"type": "identity", "id": user},
	"action": {"name": method},
	"resource": {"type": "route", "id": "/", "route": route, "params": {}},
}

_cases := {
	"anybody on file reads": {"input": _ask("beth", "GET", "/users/{userId}"), "reason": "scope_granted"},
	"nobody else reads": {"input": _ask("jaguar", "GET", "/todos"), "reason": "not_permitted"},
	"an editor posts": {"input": _ask("morty", "POST", "/todos"), "reason": "scope_granted"},
	"a viewer does not": {"input": _ask("beth", "POST", "/todos"), "reason": "not_permitted"},
	"an evil genius changes": {"input": _ask("rick", "PUT", "/todos/{todoId}"), "reason": "scope_granted"},
	"a viewer does not change": {"input": _ask("beth", "PUT", "/todos/{todoId}"), "reason": "not_permitted"},
	"an admin deletes": {"input": _ask("rick", "DELETE", "/todos/{todoId}"), "reason": "scope_granted"},
	"a method that is not listed": {"input": _ask("rick", "PATCH", "/todos"), "reason": "unmatched_route"},
	"a path that is not listed": {"input": _ask("rick", "GET", "/admin"), "reason": "unmatched_route"},
	"nothing at all": {"input": {}, "reason": "unmatched_route"},
}

test_decision[name] if {
	some name, case in _cases
	answer := authz.decision with input as case.input with authz.users as _users
	answer == {"allow": case.reason == "scope_granted", "reason": case.reason, "scopes": []}
}

test_decisions_are_the_decisions if {
	checks := [case.input | some case in _cases]
	answers := authz.decisions with input as {"checks": checks} with authz.users as _users
	[answer.reason | some answer in answers] == [case.reason | some case in _cases]
}

test_every_route_is_in_the_catalogue if {
	count(authz.catalogue.routes) == 5
	{"method": "PUT", "path": "/todos/{todoId}"} in authz.catalogue.routes
}
