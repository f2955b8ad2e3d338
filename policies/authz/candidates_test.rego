package authz_test

import data.authz

_routes_of_candidates := {
	"/memory": [{"methods": ["GET", "POST"], "all_of": ["memory:read"]}],
	"/memory/{id}": [{"methods": ["GET", "DELETE"], "all_of": ["memory:read"]}],
	"/photos": [{"methods": ["GET"], "all_of": ["photos:read"]}],
}

_proposed(type, action) := proposed if {
	proposed := authz.candidates with input as {"resource": {"type": type}, "action": {"name": action}}
		with authz.routes as _routes_of_candidates
		with authz.scopes as {"photos:read": {}, "memory:read": {}}
}

test_routes_without_parameters_are_proposed if {
	_proposed("route", "GET").resources == [{"type": "route", "id": "/memory"}, {"type": "route", "id": "/photos"}]
	_proposed("route", "POST").resources == [{"type": "route", "id": "/memory"}]
	_proposed("route", "DELETE").resources == []
}

test_head_is_judged_as_get if {
	_proposed("route", "HEAD").resources == _proposed("route", "GET").resources
}

test_methods_of_all_routes_are_proposed if {
	_proposed("route", "").actions == [{"name": "DELETE"}, {"name": "GET"}, {"name": "POST"}]
}

test_scopes_are_proposed if {
	_proposed("scope", "use") == {
		"resources": [{"type": "scope", "id": "memory:read"}, {"type": "scope", "id": "photos:read"}],
		"actions": [{"name": "use"}],
	}
}

test_nothing_else_is_proposed if {
	authz.candidates == {"resources": [], "actions": []} with input as {}
	_proposed("record", "read") == {"resources": [], "actions": []}
}
