# METADATA
# title: The todo application of AuthZEN's interop scenarios
# description: Who may do what with a todo, by the roles that the users on file have and by who owns it.
package authz

# METADATA
# title: The decision
# description: Whoever is not on file gets nothing.
# entrypoint: true
default decision := {"allow": false, "reason": "not_permitted", "scopes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	input.subject.type == "user"
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
# title: The catalogue
# entrypoint: true
catalogue := {"scopes": [], "roles": ["admin", "editor", "evil_genius", "viewer"], "reasons": ["not_permitted"]}

_permitted if {
	input.action.name == "can_read_user"
	_user
}

_permitted if {
	input.action.name == "can_read_todos"
	_user
}

_permitted if {
	input.action.name == "can_create_todo"
	some role in ["admin", "editor"]
	role in _user.roles
}

_permitted if {
	input.action.name == "can_update_todo"
	"evil_genius" in _user.roles
}

_permitted if {
	input.action.name == "can_update_todo"
	"editor" in _user.roles
	_owned
}

_permitted if {
	input.action.name == "can_delete_todo"
	"admin" in _user.roles
}

_permitted if {
	input.action.name == "can_delete_todo"
	"editor" in _user.roles
	_owned
}

_user := data.authz.users[input.subject.id]

_owned if input.resource.properties.ownerID == _user.email
