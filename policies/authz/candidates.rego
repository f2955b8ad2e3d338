package authz

import data.authz.index

# METADATA
# title: What searches choose from
# description: >-
#   Of resources: the routes without parameters that the method is declared for, and the scopes. A route with parameters
#   stands for any number of paths, which this policy does not know. Of actions: the methods of all routes, or `use` of
#   a scope. No subjects: this policy has no list of them. Each candidate is decided like any other question.
# entrypoint: true
candidates := {
	"resources": [{"type": input.resource.type, "id": id} | some id in sort(_ids)],
	"actions": [{"name": name} | some name in sort(_actions)],
}

_ids contains path if {
	input.resource.type == "route"
	some path, operations in index.operations
	not contains(path, "{")
	some operation in operations
	operation.method in _judged_as
}

_ids contains scope if {
	input.resource.type == "scope"
	some scope, _ in data.authz.scopes
}

_actions contains operation.method if {
	input.resource.type == "route"
	some operations in index.operations
	some operation in operations
}

_actions contains "use" if input.resource.type == "scope"

# HEAD is judged as GET where no HEAD is declared.
_judged_as contains input.action.name

_judged_as contains "GET" if input.action.name == "HEAD"
