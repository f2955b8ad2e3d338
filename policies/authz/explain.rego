package authz

import data.authz.index
import data.authz.requirement
import data.authz.subject

# METADATA
# title: Why
# description: >-
#   `held`: each scope the subject holds and the ways it came by it (`user_premium > user_basic > memory:read`);
#   `granted_by`: the roles behind each held scope that the request needs; `would_grant`: every role that alone would
#   let this subject make this request. What holds the needed scopes back: `ended` (roles that held it once),
#   `restricted` (roles hold it, the token leaves it out), `unmet` (conditions), and `foreign`, the parameters that
#   would have to be the subject's own ID.
# entrypoint: true
explain := {
	"held": {scope: _how(scope) | some scope, _ in subject.grants(object.keys(index.active.scopes))},
	"granted_by": subject.grants(decision.scopes),
	"would_grant": _would_grant,
	"ended": {scope: roles | some scope in decision.scopes; roles := subject.ended(scope); roles != []},
	"restricted": [scope | some scope in decision.scopes; subject.restricted(scope)],
	"unmet": {scope: subject.unmet(scope) | some scope in decision.scopes; subject.unmet(scope) != {}},
	"foreign": subject.foreign,
}

# The ways of a scope, each as the chain from the subject's role, or its token, down to the scope.
_how(scope) := ["token"] if subject.granted_by_token

else := sort({concat(" > ", chain) |
	some role in subject.granted_by(scope)
	some chain in index.chains(role, scope)
})

_would_grant := [role |
	not requirement.active.public
	some role in sort(object.keys(index.active.roles))

	# regal ignore:with-outside-test-context
	decision.allow with input.subject.roles as [role]
]
