# METADATA
# title: Requirement
# description: What the request needs, or why nothing it asks for is known.
package authz.requirement

import data.authz.index

# METADATA
# title: Why the request asks for nothing this policy knows
# description: Undefined when it asks for something known.
# scope: document
refusal := "unknown_resource_type" if not input.resource.type in {"route", "scope"}

refusal := "unmatched_route" if {
	input.resource.type == "route"
	not active
}

refusal := "unknown_scope" if {
	input.resource.type == "scope"
	not active
}

# METADATA
# title: The requirement
# description: >-
#   `public`, or `ways`: any one of them opens. A way needs its scopes (`match` says all or any) and that the parameters
#   in its `own` are the subject's own ID.
# scope: document
active := _route if input.resource.type == "route"

active := _scope if input.resource.type == "scope"

# METADATA
# title: Rate limits
# description: Those of the route, then those of each scope that granted.
limits(scopes) := array.concat(active.limits, [limit |
	some scope in scopes
	some limit in index.active.scopes[scope].limits
])

_route := found if found := _hosts[input.resource.host]

else := _hosts[""]

_hosts := found if found := _methods[input.action.name]

else := _methods.GET if input.action.name == "HEAD"

_methods := index.active.routes[input.resource.route]

_scope := {
	"public": false,
	"ways": [{"match": "all_of", "scopes": [input.resource.id], "own": []}],
	"limits": [],
} if {
	input.action.name == "use"
	index.active.scopes[input.resource.id]
}
