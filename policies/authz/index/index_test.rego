package authz.index_test

import data.authz.index

test_active_is_what_the_build_stored if {
	index.active == {"stored": true} with data.authz.closure as {"stored": true}
}

test_active_of_sources_is_computed if {
	index.active == index.closure
}

_roles := {
	"a": {"includes": ["b"], "scopes": ["x:read"]},
	"b": {"includes": ["c"], "until": 100},
	"c": {"includes": ["a"], "scopes": ["x:write"], "until": 200},
	"d": {"scopes": ["x:write"], "until": "next year"},
	"e": {"scopes": ["x:off", "no:such"]},
}

_scopes := {
	"x:read": {},
	"x:write": {"implies": ["x:read", "x:all"]},
	"x:all": {"implies": ["x:write", "x:off"], "require": {"acr": ["gold"]}},
	"x:off": {"implies": ["x:read"], "disabled": true, "limits": [{"count": 1, "per_seconds": 2}]},
}

test_roles_go_around_in_circles_and_end if {
	closure := index.closure with data.authz.roles as _roles with data.authz.scopes as _scopes
	closure.roles == {
		"a": {"x:read": index.forever, "x:write": 100, "x:all": 100},
		"b": {"x:read": 100, "x:write": 100, "x:all": 100},
		"c": {"x:read": 200, "x:write": 200, "x:all": 200},
		"d": {},
		"e": {},
	}
}

test_scopes_imply_around_in_circles if {
	closure := index.closure with data.authz.roles as _roles with data.authz.scopes as _scopes
	closure.scopes == {
		"x:read": {"implies": {"x:read": true}, "limits": []},
		"x:write": {"implies": {"x:read": true, "x:write": true, "x:all": true}, "limits": []},
		"x:all": {
			"implies": {"x:read": true, "x:write": true, "x:all": true},
			"limits": [],
			"require": {"acr": ["gold"]},
		},
		"x:off": {"implies": {}, "limits": [{"scope": "x:off", "count": 1, "per_seconds": 2}]},
	}
}

test_routes_by_template_method_and_host if {
	closure := index.closure with data.authz.routes as {"/x/{id}": [
		{
			"methods": ["GET"],
			"any_of": ["x:write", "x:read", "x:read"],
			"params": {"id": {"owner": "subject", "or_any_of": ["x:all"]}},
		},
		{"methods": ["HEAD"], "host": "a.example", "all_of": ["x:read"]},
		{"methods": ["PUT"], "public": "yes", "limits": [{"scope": "x:all", "count": 1, "per_seconds": 2}]},
	]}
	either := {
		"public": false,
		"ways": [
			{"match": "any_of", "scopes": ["x:read", "x:write"], "own": ["id"]},
			{"match": "any_of", "scopes": ["x:all"], "own": []},
		],
		"limits": [],
	}
	closure.routes == {"/x/{id}": {
		"GET": {"": either},
		"HEAD": {
			"": either,
			"a.example": {
				"public": false,
				"ways": [{"match": "all_of", "scopes": ["x:read"], "own": []}],
				"limits": [],
			},
		},
		"PUT": {"": {
			"public": false,
			"ways": [],
			"limits": [{"scope": "x:all", "count": 1, "per_seconds": 2}],
		}},
	}}
}

test_chains if {
	chains := index.chains("a", "x:read") with data.authz.roles as _roles with data.authz.scopes as _scopes
	chains == {["a", "x:read"], ["a", "c", "x:write", "x:read"]}
}
