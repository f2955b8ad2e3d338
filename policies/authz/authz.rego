# METADATA
# title: Decisions
# description: >-
#   The default policy: a subject's roles hold scopes, a route asks for scopes, and a request passes when what is asked
#   for is held. Every input has a decision; one that makes no sense is a deny.
package authz

import data.authz.requirement
import data.authz.subject

# METADATA
# title: The decision
# description: >-
#   `scopes` is what the request needs, on allow exactly what granted it, `missing` the part not held. `granted_by`
#   names, for each scope that granted, the subject's roles that hold it, or `token`.
# entrypoint: true
default decision := {"allow": false, "reason": "unknown_resource_type", "scopes": []}

decision := _public if requirement.active.public

else := _allowed(grants) if grants := subject.granting

else := _denied(subject.nearest) if requirement.active

else := {"allow": false, "reason": reason, "scopes": []} if reason := requirement.refusal

# METADATA
# title: Many decisions
# description: One decision for each of `input.checks`, in their order. None is left out, as every input has a decision.
# entrypoint: true
decisions := [answer |
	some check in input.checks

	# regal ignore:with-outside-test-context,comprehension-term-assignment
	answer := decision with input as check
]

_public := {"allow": true, "reason": "public_route", "scopes": [], "limits": []}

_allowed(grants) := {
	"allow": true,
	"reason": "scope_granted",
	"scopes": scopes,
	"limits": requirement.limits(scopes),
	"granted_by": grants,
} if {
	scopes := sort(object.keys(grants))
}

_denied(way) := {
	"allow": false,
	"reason": subject.obstacle,
	"scopes": way.scopes,
	"missing": [scope | some scope in way.scopes; not grants[scope]],
} if {
	grants := subject.grants(way.scopes)
}
