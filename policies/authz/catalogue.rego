package authz

import data.authz.index

# METADATA
# title: The catalogue
# description: >-
#   What this policy knows: scopes, roles, events, and one entry for each method of each route, with how the audit
#   trail keeps each path parameter. `or_any_of` are the scopes that open a route without owning its parameter.
# entrypoint: true
catalogue := {
	"scopes": sort(object.keys(data.authz.scopes)),
	"roles": sort(object.keys(data.authz.roles)),
	"routes": _listed,
	"events": sort({route.event | some route in _listed}),
}

_listed := [route |
	some path in sort(object.keys(index.operations))
	some operation in index.operations[path]
	route := object.union_n([
		object.filter(operation, ["method", "host", "all_of", "any_of", "event"]),
		_or_any_of(operation),
		{"path": path, "public": _public_operation(operation), "params": _params(path, operation)},
	])
]

default _public_operation(_) := false

_public_operation(operation) if index.is_public(operation)

_or_any_of(operation) := {"or_any_of": param.or_any_of} if some param in operation.params

else := {}

_params(path, operation) := {name: {"record": record} |
	some segment in split(path, "/")
	startswith(segment, "{")
	name := trim_suffix(trim(segment, "{}"), "...")
	record := object.get(operation, ["params", name, "record"], "hash")
}
