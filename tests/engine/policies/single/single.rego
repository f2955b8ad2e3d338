# The least that the contract asks for: one question at a time, no explanation.
package authz

decision := input.answer

catalogue := {"scopes": [], "roles": []}
