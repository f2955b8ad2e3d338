# METADATA
# title: Index
# description: >-
#   The policy's data, arranged by what a request asks, so that a decision is a handful of lookups. The build computes
#   `closure` once and stores it as `data.authz.closure`; a policy that was not built computes it as it goes.
package authz.index

# METADATA
# title: The index in use
active := built if built := data.authz.closure

else := closure

# METADATA
# title: The index, computed
# description: >-
#   `roles`: per role, each scope it holds and the last second it holds it; `scopes`: per scope, all it implies (itself
#   included, nothing when disabled), its conditions and its limits; `routes`: template, method and host to
#   requirement.
closure := {"roles": _roles, "scopes": _scopes, "routes": _routes}

# METADATA
# title: The last second of the year 9999
# description: Until when something holds that has no end.
forever := 253402300799

# METADATA
# title: Operations
# description: Per path template, its entries with one method each, preflights included.
operations[path] := array.concat(_declared(entries), _preflights(entries)) if some path, entries in data.authz.routes

# METADATA
# title: Whether an operation is for everyone
is_public(operation) if operation.public == true

# METADATA
# title: Chains from a role to a scope
# description: For people to read; nothing is decided by it. Each chain names the roles and scopes it runs through.
chains(role, scope) := {array.concat(_links(role, member), _links(listed, scope)) |
	some member in graph.reachable(_inclusions[min(_horizons)], {role})
	some listed in data.authz.roles[member].scopes
	active.scopes[listed].implies[scope]
}

_links(from, to) := [from] if from == to

else := [from, to]

_scopes[name] := object.union(object.filter(scope, ["require"]), {
	"implies": {implied: true | some implied in _implied(name)},
	"limits": [object.union(limit, {"scope": name}) | some limit in object.get(scope, "limits", [])],
}) if {
	some name, scope in data.authz.scopes
}

_implied(scope) := graph.reachable(_implications, {scope})

# Only enabled scopes are in the graph, so a disabled one neither is reached nor leads anywhere.
_implications[name] := object.get(scope, "implies", []) if {
	some name, scope in data.authz.scopes
	object.get(scope, "disabled", false) == false
}

_roles[role] := {scope: _last_second(role, scope) | some scope in _reached(role, min(_horizons))} if {
	some role, _ in data.authz.roles
}

_last_second(role, scope) := max([horizon | some horizon in _horizons; scope in _reached(role, horizon)])

# What a role holds at some moment: a chain breaks where a role in it has ended.
_reached(role, horizon) := {implied |
	some member in graph.reachable(_inclusions[horizon], {role})
	some scope in data.authz.roles[member].scopes
	some implied in _implied(scope)
}

# The roles that hold at each moment when some role ends. Any later moment is like the next of these.
_inclusions[horizon][name] := object.get(role, "includes", []) if {
	some horizon in _horizons
	some name, role in data.authz.roles
	_end(role) >= horizon
}

_horizons := {forever} | {_end(role) | some role in data.authz.roles}

# An end that is not a number is a mistake: the role is left out, not held for ever.
_end(role) := end if {
	end := object.get(role, "until", forever)
	is_number(end)
}

_declared(entries) := [operation |
	some entry in entries
	some method in entry.methods
	operation := object.union(object.remove(entry, ["methods", "preflight"]), {"method": method})
]

_preflights(entries) := [operation |
	some where in {object.filter(entry, ["host"]) | some entry in entries; entry.preflight == true}
	operation := object.union(where, _preflight)
]

_preflight := {"method": "OPTIONS", "public": true, "event": "api.request"}

_routes[path][operation.method][_host(operation)] := _requirement(operation) if {
	some path, _ in operations
	some operation in operations[path]
}

# HEAD is judged as GET where it is not declared.
_routes[path][method][_host(operation)] := _requirement(operation) if {
	method := "HEAD"
	some path, _ in operations
	some operation in operations[path]
	operation.method == "GET"
	not _host(operation) in {_host(declared) | some declared in operations[path]; declared.method == "HEAD"}
}

_host(operation) := object.get(operation, "host", "")

_requirement(operation) := {"public": true, "ways": [], "limits": []} if is_public(operation)

else := {
	"public": false,
	"ways": array.concat(_by_scope(operation), _by_exception(operation)),
	"limits": object.get(operation, "limits", []),
}

_by_scope(operation) := [way |
	some match in ["all_of", "any_of"]
	scopes := {scope | some scope in operation[match]}
	count(scopes) > 0
	way := {"match": match, "scopes": sort(scopes), "own": _owned(operation)}
]

_owned(operation) := [name |
	some name, param in object.get(operation, "params", {})
	param.owner
]

_by_exception(operation) := [way |
	scopes := {scope | some param in operation.params; some scope in param.or_any_of}
	count(scopes) > 0
	way := {"match": "any_of", "scopes": sort(scopes), "own": []}
]
