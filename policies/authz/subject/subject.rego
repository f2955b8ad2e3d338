# METADATA
# title: Subject
# description: Which scopes the subject holds, by its roles within what its token allows, and what it lacks.
package authz.subject

import data.authz.index
import data.authz.requirement

# METADATA
# title: The ways that open, in order
# description: Those of the requirement's ways that the subject satisfies, each with its `grants`.
granting := [way | some way in _applicable; _satisfied(way)]

# METADATA
# title: The way to speak of in a refusal
# description: The first that ownership leaves open, else the first.
nearest := way if way := _applicable[0]

else := object.union(way, {"grants": grants(way.scopes)}) if way := requirement.active.ways[0]

# METADATA
# title: What stands between the subject and the nearest way
# scope: document
default obstacle := "scope_missing"

obstacle := "unknown_role" if _only_unknown_roles

else := "condition_unmet" if _conditions_remain(_applicable[0])

else := "not_owner" if count(_applicable) < count(requirement.active.ways)

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
granted_by(scope) := ["token"] if {
	granted_by_token
	_token_reaches(scope)
}

else := roles if {
	not granted_by_token
	_permitted(scope)
	roles := sort({role | some role in _roles; _now <= index.active.roles[role][scope]})
	count(roles) > 0
}

# METADATA
# title: Whether the token's scopes are the grant
# description: Only where the issuer's tokens are trusted that far, and never beside roles.
granted_by_token if {
	_mode == "grant"
	_known
	count(_roles) == 0
}

_applicable := [object.union(way, {"grants": grants(way.scopes)}) |
	some way in requirement.active.ways
	every name in way.own {
		_known
		input.resource.params[name] == input.subject.id
	}
]

_satisfied(way) if {
	way.match == "any_of"
	count(way.grants) > 0
}

_satisfied(way) if {
	way.match == "all_of"
	count(way.grants) > 0
	count(way.grants) == count(way.scopes)
}

_only_unknown_roles if {
	count(_roles) > 0
	every role in _roles {
		not index.active.roles[role]
	}
}

_conditions_remain(way) if {
	way.match == "any_of"
	some scope in way.scopes
	granted_by(scope)
}

_conditions_remain(way) if {
	way.match == "all_of"
	every scope in way.scopes {
		granted_by(scope)
	}
}

# Someone in particular: the anonymous subject holds nothing, whatever else it says.
_known if {
	is_string(input.subject.type)
	input.subject.type != "anonymous"
	is_string(input.subject.id)
	input.subject.id != ""
}

default _roles := []

_roles := input.subject.roles if {
	_known
	is_array(input.subject.roles)
}

# Without a clock every role that has an end has ended.
_now := input.context.now if is_number(input.context.now)

else := index.forever

default _mode := "restrict"

_mode := input.subject.properties.scope_mode

_permitted(_) if not _restricted

_permitted(scope) if {
	_restricted
	_token_reaches(scope)
}

_restricted if {
	_mode != "ignore"
	"scopes" in object.keys(input.subject)
	not _only_openid
}

# OpenID Connect's own scopes choose claims; they say nothing about access.
_only_openid if {
	_token_scopes != []
	every scope in _token_scopes {
		scope in {"openid", "profile", "email", "address", "phone", "offline_access"}
	}
}

_token_scopes := input.subject.scopes if is_array(input.subject.scopes)

_token_reaches(scope) if {
	some held in _token_scopes
	index.active.scopes[held].implies[scope]
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
