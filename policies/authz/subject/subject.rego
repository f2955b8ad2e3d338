# METADATA
# title: Subject
# description: Which scopes the subject holds, by its roles within what its token allows, and what it lacks.
package authz.subject

import data.authz.index
import data.authz.requirement

# METADATA
# title: What lets the subject in
# description: The grants of the first way that opens; undefined when none does.
granting := grants if grants := _opened(requirement.active.ways[0])

else := _opened(requirement.active.ways[1])

# METADATA
# title: The way to speak of in a refusal
# description: The first that ownership leaves open, else the first.
nearest := requirement.active.ways[0] if _owns(requirement.active.ways[0].own)

else := way if way := requirement.active.ways[1]

else := requirement.active.ways[0]

# METADATA
# title: What stands between the subject and the nearest way
# scope: document
default obstacle := "scope_missing"

obstacle := "unknown_role" if _only_unknown_roles

else := "condition_unmet" if _only_conditions_remain

else := "not_owner" if not _owns(requirement.active.ways[0].own)

# METADATA
# title: Grants
# description: Those of the scopes that are held and whose conditions are met, each with who holds it.
grants(scopes) := {scope: holders |
	some scope in scopes
	holders := granted_by(scope)
	_met(scope)
}

# METADATA
# title: Who grants a scope
# description: The subject's roles that hold it, or `token`; undefined when none does. Conditions are not looked at.
granted_by(scope) := roles if {
	held := index.active.roles
	roles := sort({role | some role in _roles; _now <= held[role][scope]})
	count(roles) > 0
	_permitted(scope)
}

else := ["token"] if {
	granted_by_token
	_token_reaches(scope)
}

# METADATA
# title: Whether the token's scopes are the grant
# description: Only where the issuer's tokens are trusted that far, and never beside roles.
granted_by_token if {
	_mode == "grant"
	_known
	count(_roles) == 0
}

# METADATA
# title: Roles that held a scope and have ended
# description: None when the scope is granted some other way.
ended(scope) := [] if granted_by(scope)

else := [role |
	held := index.active.roles
	some role in sort(_roles)
	held[role][scope] < _now
]

# METADATA
# title: Whether a role holds a scope that the token leaves out
restricted(scope) if {
	not _permitted(scope)
	some role in _roles
	_now <= index.active.roles[role][scope]
}

# METADATA
# title: Conditions of a granted scope that are not met
unmet(scope) := {} if not granted_by(scope)

else := {kind: accepted |
	some kind, accepted in index.active.scopes[scope].require
	not _condition(kind, accepted)
}

# METADATA
# title: Parameters that would have to be the subject's own ID
foreign := [name | some name in requirement.active.ways[0].own; not _owns([name])]

_opened(way) := granted if {
	_owns(way.own)
	granted := grants(way.scopes)
	_enough(way.match, granted, way.scopes)
}

_owns(names) if {
	every name in names {
		_known
		input.resource.params[name] == input.subject.id
	}
}

_enough("any_of", granted, _) if count(granted) > 0

_enough("all_of", granted, scopes) if {
	count(granted) > 0
	count(granted) == count(scopes)
}

_only_unknown_roles if {
	count(_roles) > 0
	every role in _roles {
		not index.active.roles[role]
	}
}

_only_conditions_remain if {
	_owns(nearest.own)
	held := {scope | some scope in nearest.scopes; granted_by(scope)}
	_enough(nearest.match, held, nearest.scopes)
}

# Someone in particular: the anonymous subject holds nothing, whatever else it says.
_known if {
	is_string(input.subject.type)
	input.subject.type != "anonymous"
	is_string(input.subject.id)
	input.subject.id != ""
}

default _roles := []

_roles := roles if {
	_known
	roles := input.subject.roles
	is_array(roles)
}

# Without a clock every role that has an end has ended.
_now := now if {
	now := input.context.now
	is_number(now)
}

else := index.forever

default _mode := "restrict"

_mode := input.subject.properties.scope_mode

_permitted(scope) if not _restricted

else if _token_reaches(scope)

_restricted if {
	type_name(input.subject.scopes) != ""
	_mode != "ignore"
	not _only_openid
}

_only_openid if {
	_token_scopes != []
	every scope in _token_scopes {
		_openid[scope]
	}
}

# OpenID Connect's own scopes choose claims; they say nothing about access.
_openid := {
	"openid": true,
	"profile": true,
	"email": true,
	"address": true,
	"phone": true,
	"offline_access": true,
}

_token_scopes := input.subject.scopes if is_array(input.subject.scopes)

_token_reaches(scope) if {
	known := index.active.scopes
	some named in _token_scopes
	known[named].implies[scope]
}

_met(scope) if {
	conditions := object.get(index.active.scopes[scope], "require", {})
	every kind, accepted in conditions {
		_condition(kind, accepted)
	}
}

_condition("acr", accepted) if input.subject.properties.claims.acr in accepted

_condition("amr", accepted) if {
	is_array(accepted)
	every method in accepted {
		method in input.subject.properties.claims.amr
	}
}

_condition("cidr", accepted) if {
	some block in accepted
	net.cidr_contains(block, input.context.ip)
}
