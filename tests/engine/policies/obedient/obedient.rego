# A policy that does what the input tells it to: answer anything, nothing, never, or with a conflict.
package authz

decision := input.answer

decision := input.other_answer

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	input.loop
	count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i + j == 0]) == 0
}

decision := {"allow": false, "reason": "condition_unmet", "scopes": []} if {
	regex.match(input.pattern, input.text)
	glob.match(input.glob, ["/"], input.text)
}

decisions := [one | some check in input.checks; one := data.authz.decision with input as check] if {
	not input.checks[0].batch_answer
}

decisions := input.checks[0].batch_answer

explain := input.explanation

catalogue := {"scopes": ["memory:read"], "roles": ["user"], "reasons": ["office_closed"]}
