package authz

import data.authz.index

# METADATA
# title: The catalogue
# description: >-
#   What this policy knows: scopes, roles, events, and one entry for each method of each route. Of each path
#   parameter: how the audit trail keeps it, and `or_any_of`, the scopes that open the route without owning it.
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
	route := object.union(
		object.filter(operation, ["method", "host", "all_of", "any_of", "event", "accepts"]),
		{"path": path, "public": _public_operation(operation), "params": _params(path, operation)},
	)
]

default _public_operation(_) := false

_public_operation(operation) if index.is_public(operation)

_params(path, operation) := {name: param |
	some segment in split(path, "/")
	startswith(segment, "{")
	name := trim_suffix(trim(segment, "{}"), "...")
	declared := object.get(operation, ["params", name], {})
	param := object.union({"record": "hash"}, object.filter(declared, ["record", "or_any_of"]))
}
