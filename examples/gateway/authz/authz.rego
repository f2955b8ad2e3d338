# METADATA
# title: The API gateway of AuthZEN's interop scenarios
# description: >-
#   A gateway asks about routes: the resource is the path, the action the method. The routes in the catalogue are what
#   paths are read by; the roles are those that the users on file have.
package authz

# METADATA
# title: The decision
# description: Whoever is not on file gets nothing, and neither does anybody on a route that is not listed.
# entrypoint: true
default decision := {"allow": false, "reason": "unmatched_route", "scopes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if _permitted

else := {"allow": false, "reason": "not_permitted", "scopes": []} if _roles_needed

# METADATA
# title: Many decisions
# entrypoint: true
decisions := [answer |
	some check in input.checks

	# regal ignore:with-outside-test-context,comprehension-term-assignment
	answer := decision with input as check
]

# METADATA
# title: The catalogue
# entrypoint: true
catalogue := {
	"scopes": [],
	"roles": ["admin", "editor", "evil_genius", "viewer"],
	"routes": [{"method": method, "path": path} | some path, methods in data.authz.paths; some method, _ in methods],
	"reasons": ["not_permitted"],
}

_roles_needed := data.authz.paths[input.resource.route][input.action.name]

_user := data.authz.users[input.subject.id]

_permitted if {
	some role in _roles_needed
	role in _user.roles
}
