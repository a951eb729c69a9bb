# Accounts, keys, logging in.
package ringfence

import rego.v1

# Context: token_valid, accounts (how many there are).
deny contains "The bootstrap token does not hold: it is wrong, used up or older than an hour." if {
	input.action == "platform.bootstrap"
	not input.context.token_valid == true
}

deny contains "The platform has accounts already: ask an administrator for one." if {
	input.action == "platform.bootstrap"
	not input.context.accounts == 0
}

# Context: proved (the password held and the account is enabled).
deny contains "The name or the password is wrong, or the account is disabled." if {
	input.action == "account.login"
	not input.context.proved == true
}

# Context: roles (of the new account), person_roles (that the same person holds by other accounts), officers (accounts
# that ever had an approving role), kind.
deny contains msg if {
	input.action == "account.create"
	is_list("roles")
	is_list("person_roles")
	asked := {role | some role in input.context.roles}
	held := {role | some role in input.context.person_roles}
	some conflict in conflicts(asked | held)
	msg := sprintf("One person would hold %s and %s, but %s.", [conflict.roles[0], conflict.roles[1], conflict.why])
}

deny contains "The roles of the new account are not known." if {
	input.action == "account.create"
	not is_list("roles")
}

deny contains "The roles that its person holds already are not known." if {
	input.action == "account.create"
	not is_list("person_roles")
}

deny contains "The role worker is the platform's own." if {
	input.action == "account.create"
	"worker" in input.context.roles
	not makes_the_worker
}

deny contains "Once there is a security officer, only a security officer creates another." if {
	input.action == "account.create"
	some role in input.context.roles
	role in data.roles.approving
	not holds("security_officer")
	not input.context.officers == 0
}

deny contains "A security officer creates accounts of security officers only." if {
	input.action == "account.create"
	holds("security_officer")
	some role in input.context.roles
	not role in data.roles.approving
}

deny contains "An approving role is for persons, not for service accounts." if {
	input.action == "account.create"
	some role in input.context.roles
	role in data.roles.approving
	input.context.kind != "person"
}

# Context: roles (of the account to disable). Else who creates accounts could remove who approves.
deny contains "Only a security officer disables a security officer." if {
	input.action == "account.disable"
	not holds("security_officer")
	not unapproving
}

unapproving if {
	is_list("roles")
	count({role | some role in input.context.roles; role in data.roles.approving}) == 0
}

# Context: account_kind. A key for a person's account would be a way to act as them.
deny contains "API keys are for service accounts: people log in." if {
	input.action == "key.create"
	not input.context.account_kind == "service"
}

deny contains "The worker's key is made by the platform itself." if {
	input.action == "key.create"
	not worker_free
}

worker_free if {
	is_list("account_roles")
	not "worker" in input.context.account_roles
}

# A rule of one's own can lock out, never let in.
deny contains "A job is shown to whoever submitted it, and to those who may see every job." if {
	input.action == "job.show"
	not job_is_mine
	not sees_every_job
}

job_is_mine if input.context.submitted_by == input.actor.id

job_is_mine if {
	startswith(input.context.kind, "dataset.")
	holds("data_steward")
}

sees_every_job if {
	some role in input.actor.roles
	role in {"viewer", "security_officer", "platform_engineer", "worker"}
}
