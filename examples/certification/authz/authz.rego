# METADATA
# title: The certification fixture
# description: >-
#   The policy that OpenID's AuthZEN certification asks of a decision point: two users, two records, and rules that look
#   at properties, those sent with a request before those on file. A policy of one's own: no roles, scopes or routes.
package authz

# METADATA
# title: The decision
# description: Whoever and whatever is not on file gets nothing.
# entrypoint: true
default decision := {"allow": false, "reason": "not_permitted", "scopes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	input.subject.type == "user"
	input.resource.type == "record"
	_permitted
}

# METADATA
# title: Many decisions
# entrypoint: true
decisions := [answer |
	some check in input.checks

	# regal ignore:with-outside-test-context,comprehension-term-assignment
	answer := decision with input as check
]

# METADATA
# title: What searches choose from
# description: >-
#   Each key is a comprehension, so that one undefined member does not undo the others, over something that is sorted,
#   so that pages follow one another in the same order everywhere.
# entrypoint: true
candidates := {
	"subjects": [{"type": "user", "id": id} | some id in _sorted(data.authz.users)],
	"resources": [{"type": "record", "id": id} | some id in _sorted(data.authz.records)],
	"actions": [{"name": name} | some name in ["read", "write", "delete"]],
}

# METADATA
# title: The catalogue
# entrypoint: true
catalogue := {"scopes": [], "roles": [], "reasons": ["not_permitted"]}

_sorted(table) := sort(object.keys(table))

_permitted if {
	input.action.name == "read"
	data.authz.users[input.subject.id]
	data.authz.records[input.resource.id]
}

_permitted if {
	input.action.name == "write"
	_status != "archived"
	input.subject.id in data.authz.records[input.resource.id].editors
}

_permitted if {
	input.action.name == "write"
	_status == "archived"
	_role == "admin"
}

_permitted if {
	input.action.name == "delete"
	input.action.properties.soft == true
	input.subject.id in data.authz.records[input.resource.id].editors
}

# What a request says of an entity stands before what is on file.
_role := role if role := input.subject.properties.role

else := data.authz.users[input.subject.id].role

default _status := ""

_status := status if status := input.resource.properties.status

else := data.authz.records[input.resource.id].status
