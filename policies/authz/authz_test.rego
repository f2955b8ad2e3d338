package authz_test

import data.authz
import data.authz.index

# One small world for every test here: the shipped data may change without changing what is promised.
_scopes := {
	"doc:read": {},
	"doc:write": {"implies": ["doc:read"], "limits": [{"count": 5, "per_seconds": 60}]},
	"doc:share": {},
	"doc:old": {"disabled": true},
	"doc:sign": {"require": {"acr": ["gold", "silver"], "amr": ["mfa"], "cidr": ["10.0.0.0/8"]}},
	"admin": {},
}

_roles := {
	"reader": {"scopes": ["doc:read", "doc:old"]},
	"writer": {"includes": ["reader"], "scopes": ["doc:write"]},
	"signer": {"scopes": ["doc:sign"]},
	"guest": {"scopes": ["doc:read"], "until": 1000},
	"admin": {"scopes": ["admin"]},
}

_routes := {
	"/health": [{"methods": ["GET"], "public": true, "event": "api.request"}],
	"/docs": [
		{
			"methods": ["GET"],
			"any_of": ["doc:write", "doc:read", "doc:share"],
			"event": "doc.accessed",
			"preflight": true,
		},
		{
			"methods": ["POST"],
			"all_of": ["doc:write", "doc:read"],
			"event": "doc.modified",
			"limits": [{"scope": "doc:read", "count": 1, "per_seconds": 1}],
			"preflight": true,
		},
	],
	"/docs/{id}": [{
		"methods": ["GET"],
		"all_of": ["doc:read"],
		"event": "doc.accessed",
		"params": {"id": {"owner": "subject", "or_any_of": ["admin"], "record": "clear"}},
		"accepts": ["encoded_slash"],
	}],
	"/mine/{id}": [{
		"methods": ["GET"],
		"all_of": ["doc:read"],
		"event": "doc.accessed",
		"params": {"id": {"owner": "subject"}},
	}],
	"/signed": [
		{"methods": ["GET"], "all_of": ["doc:sign"], "event": "doc.accessed"},
		{"methods": ["POST"], "any_of": ["doc:sign", "admin"], "event": "doc.modified"},
	],
	"/old": [{"methods": ["GET"], "all_of": ["doc:old"], "event": "doc.accessed"}],
	"/hosted/{path...}": [
		{"methods": ["GET"], "host": "a.example", "public": true, "event": "api.request"},
		{"methods": ["GET", "HEAD"], "all_of": ["admin"], "event": "admin.access"},
	],
}

# Computed once, as the build does.
_closure := closure if {
	closure := index.closure with authz.scopes as _scopes
		with authz.roles as _roles
		with authz.routes as _routes
}

_user(roles) := {"type": "user", "id": "u1", "roles": roles}

_token(roles, scopes, mode) := object.union(
	_user(roles),
	{"scopes": scopes, "properties": {"scope_mode": mode}},
)

_ask(subject, method, route) := {
	"subject": subject,
	"action": {"name": method},
	"resource": {"type": "route", "id": route, "route": route, "params": {"id": "u1"}},
	"context": {"now": 1000},
}

_signing(claims, ip) := object.union(
	_ask(object.union(_user(["signer"]), {"properties": {"claims": claims}}), "GET", "/signed"),
	{"context": {"ip": ip}},
)

_use(subject, scope) := {
	"subject": subject,
	"action": {"name": "use"},
	"resource": {"type": "scope", "id": scope},
}

_granted(granted_by) := {
	"allow": true,
	"reason": "scope_granted",
	"scopes": sort(object.keys(granted_by)),
	"limits": [],
	"granted_by": granted_by,
}

_refused(reason, scopes, missing) := {"allow": false, "reason": reason, "scopes": scopes, "missing": missing}

_unknown(reason) := {"allow": false, "reason": reason, "scopes": []}

_open := {"allow": true, "reason": "public_route", "scopes": [], "limits": []}

_anonymous := {"type": "anonymous", "id": "", "roles": []}

_cases := {
	"a role holds its scopes": {
		"input": _ask(_user(["reader"]), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"a role holds the scopes of the roles it includes, and is the one named": {
		"input": _ask(_user(["writer", "reader", "writer"]), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader", "writer"]}),
	},
	"all_of names all that granted, with the limits of the route and of each scope": {
		"input": _ask(_user(["writer"]), "POST", "/docs"),
		"want": object.union(
			_granted({"doc:read": ["writer"], "doc:write": ["writer"]}),
			{"limits": [
				{"scope": "doc:read", "count": 1, "per_seconds": 1},
				{"scope": "doc:write", "count": 5, "per_seconds": 60},
			]},
		),
	},
	"all_of is missing what is not held": {
		"input": _ask(_user(["reader"]), "POST", "/docs"),
		"want": _refused("scope_missing", ["doc:read", "doc:write"], ["doc:write"]),
	},
	"any_of names those that granted": {
		"input": _ask(_user(["reader"]), "GET", "/docs"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"any_of is missing all of them": {
		"input": _ask(_user(["admin"]), "GET", "/docs"),
		"want": _refused(
			"scope_missing",
			["doc:read", "doc:share", "doc:write"],
			["doc:read", "doc:share", "doc:write"],
		),
	},
	"HEAD is judged as GET": {
		"input": _ask(_user(["reader"]), "HEAD", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"a public route is for everyone": {"input": _ask(_anonymous, "GET", "/health"), "want": _open},
	"a preflight is public": {"input": _ask(_anonymous, "OPTIONS", "/docs"), "want": _open},
	"only a public route is for nobody in particular": {
		"input": _ask(object.union(_anonymous, {"roles": ["reader"]}), "GET", "/mine/{id}"),
		"want": _refused("not_owner", ["doc:read"], ["doc:read"]),
	},
	"nobody in particular owns nothing, not even the empty ID": {
		"input": object.union(_ask(_anonymous, "GET", "/mine/{id}"), {"resource": {"params": {"id": ""}}}),
		"want": _refused("not_owner", ["doc:read"], ["doc:read"]),
	},
	"someone else's is refused": {
		"input": _ask(object.union(_user(["reader"]), {"id": "u2"}), "GET", "/mine/{id}"),
		"want": _refused("not_owner", ["doc:read"], []),
	},
	"someone else's, where there is an exception, needs the exception": {
		"input": _ask(object.union(_user(["reader"]), {"id": "u2"}), "GET", "/docs/{id}"),
		"want": _refused("not_owner", ["admin"], ["admin"]),
	},
	"the exception does not need the owner's scopes": {
		"input": _ask(object.union(_user(["admin"]), {"id": "u2"}), "GET", "/docs/{id}"),
		"want": _granted({"admin": ["admin"]}),
	},
	"the owner's own scopes come first": {
		"input": _ask(_user(["admin", "reader"]), "GET", "/docs/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"the owner without the scope is missing the scope": {
		"input": _ask(_user(["signer"]), "GET", "/docs/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"no known role": {
		"input": _ask(_user(["offline_access"]), "GET", "/mine/{id}"),
		"want": _refused("unknown_role", ["doc:read"], ["doc:read"]),
	},
	"unknown roles beside known ones are passed over": {
		"input": _ask(_user(["offline_access", "reader"]), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"no role at all is missing the scope": {
		"input": _ask(_user([]), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"nobody holds a disabled scope": {
		"input": _ask(_user(["reader"]), "GET", "/old"),
		"want": _refused("scope_missing", ["doc:old"], ["doc:old"]),
	},
	"a role holds up to and including its last second": {
		"input": _ask(_user(["guest"]), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["guest"]}),
	},
	"a role that has ended holds nothing": {
		"input": object.union(_ask(_user(["guest"]), "GET", "/mine/{id}"), {"context": {"now": 1000.5}}),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"without a clock a role that ends has ended": {
		"input": object.remove(_ask(_user(["guest"]), "GET", "/mine/{id}"), ["context"]),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"without a clock other roles hold": {
		"input": object.remove(_ask(_user(["reader"]), "GET", "/mine/{id}"), ["context"]),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"conditions met": {
		"input": _signing({"acr": "gold", "amr": ["pwd", "mfa"]}, "10.1.2.3"),
		"want": _granted({"doc:sign": ["signer"]}),
	},
	"another acr": {
		"input": _signing({"acr": "bronze", "amr": ["mfa"]}, "10.1.2.3"),
		"want": _refused("condition_unmet", ["doc:sign"], ["doc:sign"]),
	},
	"not every amr": {
		"input": _signing({"acr": "gold", "amr": ["pwd"]}, "10.1.2.3"),
		"want": _refused("condition_unmet", ["doc:sign"], ["doc:sign"]),
	},
	"another network": {
		"input": _signing({"acr": "gold", "amr": ["mfa"]}, "11.1.2.3"),
		"want": _refused("condition_unmet", ["doc:sign"], ["doc:sign"]),
	},
	"no claims": {
		"input": _ask(_user(["signer"]), "GET", "/signed"),
		"want": _refused("condition_unmet", ["doc:sign"], ["doc:sign"]),
	},
	"one condition away from any_of": {
		"input": _ask(_user(["signer"]), "POST", "/signed"),
		"want": _refused("condition_unmet", ["admin", "doc:sign"], ["admin", "doc:sign"]),
	},
	"a token's scopes restrict its roles": {
		"input": _ask(_token(["writer"], ["doc:read"], "restrict"), "POST", "/docs"),
		"want": _refused("scope_missing", ["doc:read", "doc:write"], ["doc:write"]),
	},
	"a token's scope allows what it implies": {
		"input": _ask(_token(["reader"], ["doc:write"], "restrict"), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"a token's scope grants nothing that no role holds": {
		"input": _ask(_token(["reader"], ["admin"], "restrict"), "GET", "/docs/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"a mode we do not know restricts": {
		"input": _ask(_token(["reader"], ["admin"], "trust me"), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"a token's scopes ignored": {
		"input": _ask(_token(["reader"], ["admin"], "ignore"), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"OpenID Connect's scopes alone do not restrict": {
		"input": _ask(_token(["reader"], ["openid", "profile", "email"], "restrict"), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["reader"]}),
	},
	"OpenID Connect's scopes do not lift a restriction": {
		"input": _ask(_token(["reader"], ["openid", "admin"], "restrict"), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"scopes that no catalogue knows restrict to nothing": {
		"input": _ask(_token(["reader"], ["openid", "other"], "restrict"), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"an empty scope claim restricts to nothing": {
		"input": _ask(_token(["reader"], [], "restrict"), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"a scope claim that is no list restricts to nothing": {
		"input": _ask(_token(["reader"], "doc:read", "restrict"), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"a service token's scopes are the grant": {
		"input": _ask(_token([], ["doc:write", "openid"], "grant"), "GET", "/mine/{id}"),
		"want": _granted({"doc:read": ["token"]}),
	},
	"a service token grants no more than its scopes": {
		"input": _ask(_token([], ["doc:write"], "grant"), "GET", "/signed"),
		"want": _refused("scope_missing", ["doc:sign"], ["doc:sign"]),
	},
	"beside roles a token's scopes only restrict": {
		"input": _ask(_token(["reader"], ["doc:read", "doc:write"], "grant"), "POST", "/docs"),
		"want": _refused("scope_missing", ["doc:read", "doc:write"], ["doc:write"]),
	},
	"a route of one host, at that host": {
		"input": object.union(_ask(_anonymous, "GET", "/hosted/{path...}"), {"resource": {"host": "a.example"}}),
		"want": _open,
	},
	"its HEAD too": {
		"input": object.union(_ask(_anonymous, "HEAD", "/hosted/{path...}"), {"resource": {"host": "a.example"}}),
		"want": _open,
	},
	"a route of one host, at another": {
		"input": object.union(_ask(_anonymous, "GET", "/hosted/{path...}"), {"resource": {"host": "b.example"}}),
		"want": _refused("scope_missing", ["admin"], ["admin"]),
	},
	"no such method": {"input": _ask(_user(["writer"]), "PUT", "/docs"), "want": _unknown("unmatched_route")},
	"no such route": {"input": _ask(_user(["writer"]), "GET", "/nowhere"), "want": _unknown("unmatched_route")},
	"no route": {
		"input": {"resource": {"type": "route"}},
		"want": _unknown("unmatched_route"),
	},
	"a scope, used": {
		"input": _use(_user(["writer"]), "doc:read"),
		"want": _granted({"doc:read": ["writer"]}),
	},
	"a scope, not held": {
		"input": _use(_user(["writer"]), "admin"),
		"want": _refused("scope_missing", ["admin"], ["admin"]),
	},
	"a disabled scope is never granted": {
		"input": _use(_token([], ["doc:old"], "grant"), "doc:old"),
		"want": _refused("scope_missing", ["doc:old"], ["doc:old"]),
	},
	"no such scope": {"input": _use(_user(["writer"]), "doc:eat"), "want": _unknown("unknown_scope")},
	"a scope can only be used": {
		"input": object.union(_use(_user(["writer"]), "doc:read"), {"action": {"name": "eat"}}),
		"want": _unknown("unknown_scope"),
	},
	"no such type": {
		"input": {"resource": {"type": "planet", "id": "mars"}},
		"want": _unknown("unknown_resource_type"),
	},
	"an empty input": {"input": {}, "want": _unknown("unknown_resource_type")},
	"an input that is no object": {"input": ["route"], "want": _unknown("unknown_resource_type")},
	"roles that are no list": {
		"input": _ask(object.union(_user([]), {"roles": {"x": "reader"}}), "GET", "/mine/{id}"),
		"want": _refused("scope_missing", ["doc:read"], ["doc:read"]),
	},
	"a subject without a name": {
		"input": _ask(object.union(_user(["reader"]), {"id": 7}), "GET", "/mine/{id}"),
		"want": _refused("not_owner", ["doc:read"], ["doc:read"]),
	},
}

test_decision[name] if {
	some name, case in _cases
	decision := authz.decision with input as case.input with authz.closure as _closure
	decision == case.want
}

test_decisions if {
	names := sort(object.keys(_cases))
	checks := [_cases[name].input | some name in names]
	decisions := authz.decisions with input as {"checks": checks} with authz.closure as _closure
	decisions == [_cases[name].want | some name in names]
}

test_decisions_of_nothing if {
	authz.decisions == [] with input as {}
}

_catalogue := {
	"scopes": ["admin", "doc:old", "doc:read", "doc:share", "doc:sign", "doc:write"],
	"roles": ["admin", "guest", "reader", "signer", "writer"],
	"events": ["admin.access", "api.request", "doc.accessed", "doc.modified"],
	"routes": [
		{
			"path": "/docs",
			"method": "GET",
			"any_of": ["doc:write", "doc:read", "doc:share"],
			"public": false,
			"event": "doc.accessed",
			"params": {},
		},
		{
			"path": "/docs",
			"method": "POST",
			"all_of": ["doc:write", "doc:read"],
			"public": false,
			"event": "doc.modified",
			"params": {},
		},
		{"path": "/docs", "method": "OPTIONS", "public": true, "event": "api.request", "params": {}},
		{
			"path": "/docs/{id}",
			"method": "GET",
			"all_of": ["doc:read"],
			"public": false,
			"event": "doc.accessed",
			"params": {"id": {"record": "clear", "or_any_of": ["admin"]}},
			"accepts": ["encoded_slash"],
		},
		{
			"path": "/hosted/{path...}",
			"method": "GET",
			"host": "a.example",
			"public": true,
			"event": "api.request",
			"params": {"path": {"record": "hash"}},
		},
		{
			"path": "/hosted/{path...}",
			"method": "GET",
			"all_of": ["admin"],
			"public": false,
			"event": "admin.access",
			"params": {"path": {"record": "hash"}},
		},
		{
			"path": "/hosted/{path...}",
			"method": "HEAD",
			"all_of": ["admin"],
			"public": false,
			"event": "admin.access",
			"params": {"path": {"record": "hash"}},
		},
	],
}

test_catalogue if {
	catalogue := authz.catalogue with authz.scopes as _scopes
		with authz.roles as _roles
		with authz.routes as object.filter(_routes, ["/docs", "/docs/{id}", "/hosted/{path...}"])
	catalogue == _catalogue
}
