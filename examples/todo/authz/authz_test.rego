package authz_test

import data.authz

_users := {
	"rick": {"email": "rick@example.com", "roles": ["admin", "evil_genius"]},
	"morty": {"email": "morty@example.com", "roles": ["editor"]},
	"beth": {"email": "beth@example.com", "roles": ["viewer"]},
}

_ask(user, action, owner) := {
	"subject": {"type": "user", "id": user},
	"action": {"name": action},
	"resource": {"type": "todo", "id": "1", "properties": {"ownerID": owner}},
}

_cases := {
	"anybody on file reads users": {"input": _ask("beth", "can_read_user", ""), "allow": true},
	"anybody on file reads todos": {"input": _ask("beth", "can_read_todos", ""), "allow": true},
	"nobody else reads": {"input": _ask("jaguar", "can_read_todos", ""), "allow": false},
	"an editor creates": {"input": _ask("morty", "can_create_todo", ""), "allow": true},
	"an admin creates": {"input": _ask("rick", "can_create_todo", ""), "allow": true},
	"a viewer does not": {"input": _ask("beth", "can_create_todo", ""), "allow": false},
	"an editor updates what is the editor's own": {
		"input": _ask("morty", "can_update_todo", "morty@example.com"),
		"allow": true,
	},
	"and nothing else": {"input": _ask("morty", "can_update_todo", "rick@example.com"), "allow": false},
	"an evil genius updates anything": {"input": _ask("rick", "can_update_todo", "beth@example.com"), "allow": true},
	"a viewer does not update even that": {"input": _ask("beth", "can_update_todo", "beth@example.com"), "allow": false},
	"an admin deletes anything": {"input": _ask("rick", "can_delete_todo", "beth@example.com"), "allow": true},
	"an editor deletes what is the editor's own": {
		"input": _ask("morty", "can_delete_todo", "morty@example.com"),
		"allow": true,
	},
	"an editor deletes nothing else": {"input": _ask("morty", "can_delete_todo", "rick@example.com"), "allow": false},
	"nothing at all": {"input": {}, "allow": false},
}

test_decision[name] if {
	some name, case in _cases
	answer := authz.decision with input as case.input with authz.users as _users
	answer.allow == case.allow
}

test_decisions_are_the_decisions if {
	checks := [case.input | some case in _cases]
	answers := authz.decisions with input as {"checks": checks} with authz.users as _users
	[answer.allow | some answer in answers] == [case.allow | some case in _cases]
}

test_every_role_is_in_the_catalogue if {
	authz.catalogue.reasons == ["not_permitted"]
	every user in authz.users {
		every role in user.roles {
			role in authz.catalogue.roles
		}
	}
}
