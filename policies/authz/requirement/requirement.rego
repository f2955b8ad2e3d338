# METADATA
# title: Requirement
# description: What the request needs.
package authz.requirement

import data.authz.index

# METADATA
# title: The requirement
# description: >-
#   `public`, or `ways`: the first that opens decides. A way needs its scopes (`match` says all or any) and that the
#   parameters in its `own` are the subject's own ID. Undefined when the request asks for nothing this policy knows.
# scope: document
active := _at_host(hosts) if {
	input.resource.type == "route"
	hosts := index.active.routes[input.resource.route][input.action.name]
}

else := _scope if input.resource.type == "scope"

# METADATA
# title: Why there is no requirement
# description: Undefined for a type of resource that this policy does not know.
# scope: document
refusal := "unmatched_route" if input.resource.type == "route"

refusal := "unknown_scope" if input.resource.type == "scope"

# METADATA
# title: Rate limits
# description: Those of the route, then those of each scope that granted.
limits(scopes) := array.concat(active.limits, [limit |
	some scope in scopes
	some limit in index.active.scopes[scope].limits
])

_at_host(hosts) := requirement if requirement := hosts[input.resource.host]

else := hosts[""]

_scope := {
	"public": false,
	"ways": [{"match": "all_of", "scopes": [input.resource.id], "own": []}],
	"limits": [],
} if {
	input.action.name == "use"
	index.active.scopes[input.resource.id]
}
