# Twenty records that alice may view, and as many that nobody may.
package authz

default decision := {"allow": false, "reason": "scope_missing", "scopes": []}

decision := {"allow": true, "reason": "scope_granted", "scopes": []} if {
	input.subject.id == "alice"
	input.action.name == "view"
	to_number(input.resource.id) in numbers.range(101, 120)
}

decisions := [answer |
	some check in input.checks
	answer := decision with input as check
]

candidates := {"resources": [{"type": "record", "id": format_int(number, 10)} | some number in numbers.range(91, 130)]}

catalogue := {"scopes": [], "roles": []}
