# The decision: allowed is what a role permits and nothing denies. Every file of this package only adds reasons to deny;
# so do a project's own rules (package ringfence.project.NAME). A fact that a rule needs and that is missing denies.
package ringfence

import rego.v1

decision := {"allow": allow, "deny": deny}

default allow := false

allow if {
	permitted
	count(deny) == 0
}

# Whether a fact is there and a list. `not is_array(input.context.x)` would hold for no missing x: OPA does not negate a call
# on what is undefined.
is_list(name) if is_array(input.context[name])

# Who someone is: an account, and the person behind it.
names(actor) := {name |
	some name in [actor.id, actor.name, object.get(actor, "person", "")]
	name != ""
}

holds(role) if role in input.actor.roles

may(roles, action) if {
	some role in roles
	action in data.roles.actions[role]
}

permitted if {
	input.actor.kind != "anonymous"
	may(input.actor.roles, input.action)
}

# A credential proves itself to the platform before it has a role.
permitted if {
	input.actor.kind == "anonymous"
	input.action in {"platform.bootstrap", "account.login"}
}

# The platform's own process makes its own service account, once.
permitted if makes_the_worker

makes_the_worker if {
	input.actor.kind == "workload"
	input.actor.id == "platform"
	input.action == "account.create"
	input.resource.name == "worker"
	input.context.roles == ["worker"]
}

deny contains msg if {
	not permitted
	msg := sprintf("This is for %s.", [roles_that_may(input.action)])
}

roles_that_may(action) := concat(" or ", sort(roles)) if {
	roles := {role |
		some role, actions in data.roles.actions
		action in actions
	}
	count(roles) > 0
} else := "no role"

# Projects isolate.
deny contains "It belongs to another project." if not same_project

same_project if input.actor.project == input.resource.project

# Separation of duties: an account that holds two conflicting roles can do nothing with either.
deny contains msg if {
	some conflict in conflicts({role | some role in input.actor.roles})
	msg := sprintf("The account holds %s and %s, but %s: have one taken away.", [
		conflict.roles[0],
		conflict.roles[1],
		conflict.why,
	])
}

conflicts(roles) := [conflict |
	some conflict in data.roles.conflicts
	conflict.roles[0] in roles
	conflict.roles[1] in roles
]

# A credential with scopes can do what they name and nothing else: an action, or an action on one resource.
deny contains msg if {
	count(input.actor.scopes) > 0
	not in_scope
	msg := sprintf("The API key's scopes are %s: make one with the scope %s.", [
		concat(", ", sort(input.actor.scopes)),
		input.action,
	])
}

in_scope if input.action in input.actor.scopes

in_scope if sprintf("%s:%s", [input.action, input.resource.name]) in input.actor.scopes

# Whoever may start a job may see what became of it.
in_scope if {
	input.action == "job.show"
	input.context.submitted_by == input.actor.id
}

# The worker acts for somebody, who must still be allowed to have it done.
deny contains msg if {
	holds("worker")
	asked := data.roles.on_behalf_of[input.action]
	not submitter_may(asked)
	msg := sprintf("The worker does this only for an account that may %s itself.", [asked])
}

submitter_may(asked) if {
	submitter := input.context.on_behalf_of
	submitter.project == input.actor.project
	is_array(submitter.roles)
	may(submitter.roles, asked)
	count(conflicts({role | some role in submitter.roles})) == 0
}

# A project's own rules can only deny, and only in their project.
deny contains reason if {
	some name
	data.policy_projects[name] == input.resource.project
	some reason in data.ringfence.project[name].deny
}
