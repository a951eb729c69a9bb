package ringfence_test

import rego.v1

engineer := person(["platform_engineer"])

officer := person(["security_officer"])

nobody := {"id": "anonymous", "name": "", "kind": "anonymous", "roles": [], "project": "default", "person": "", "scopes": []}

new_account(roles, changes) := object.union(
	{"roles": roles, "kind": "person", "person_roles": [], "officers": 0},
	changes,
)

cases contains allowed("bootstrap needs a good token and an empty platform", ask(nobody, "platform.bootstrap", {"token_valid": true, "accounts": 0}))

cases contains denied("bootstrap needs a good token and an empty platform", "token", ask(nobody, "platform.bootstrap", {"token_valid": false, "accounts": 0}))

cases contains denied("bootstrap needs a good token and an empty platform", "accounts already", ask(nobody, "platform.bootstrap", {"token_valid": true, "accounts": 1}))

cases contains denied("bootstrap needs a good token and an empty platform", "", ask(nobody, "platform.bootstrap", {}))

cases contains denied("bootstrap needs a good token and an empty platform", "", ask(engineer, "platform.bootstrap", {"token_valid": true, "accounts": 0}))

cases contains allowed("login needs proof", ask(nobody, "account.login", {"proved": true}))

cases contains denied("login needs proof", "wrong", ask(nobody, "account.login", {"proved": false}))

cases contains denied("login needs proof", "wrong", ask(nobody, "account.login", {}))

cases contains denied("login needs proof", "wrong", ask(nobody, "account.login", {"proved": "true"}))

cases contains denied("an anonymous caller does nothing else", "This is for", ask(nobody, action, {})) if {
	some action in ["dataset.list", "platform.show", "account.create", "endpoint.ask"]
}

cases contains allowed("an engineer makes the first officer only", ask(engineer, "account.create", new_account(["security_officer"], {})))

cases contains denied("an engineer makes the first officer only", "only a security officer", ask(
	engineer, "account.create",
	new_account(["viewer", "security_officer"], {"officers": 1}),
))

cases contains denied("an engineer makes the first officer only", "only a security officer", ask(engineer, "account.create", object.remove(
	new_account(["security_officer"], {}),
	["officers"],
)))

cases contains allowed("an engineer makes the first officer only", ask(officer, "account.create", new_account(["security_officer"], {"officers": 1})))

cases contains denied("an officer makes officers only", "of security officers only", ask(officer, "account.create", new_account(["data_scientist"], {})))

cases contains denied("conflicting roles are not given", "One person would hold", ask(
	engineer, "account.create",
	new_account(["data_scientist", "data_steward"], {}),
))

cases contains denied("conflicting roles are not given", "One person would hold", ask(
	engineer, "account.create",
	new_account(["mlops_engineer"], {"person_roles": ["data_scientist"]}),
))

cases contains denied("conflicting roles are not given", "holds already are not known", ask(
	engineer, "account.create",
	object.remove(new_account(["viewer"], {}), ["person_roles"]),
))

cases contains denied("nobody makes a worker but the platform", "the platform's own", ask(engineer, "account.create", new_account(["worker"], {})))

cases contains allowed("nobody makes a worker but the platform", object.union(question, {"resource": {"name": "worker"}})) if {
	question := ask(object.union(nobody, {"id": "platform", "kind": "workload"}), "account.create", new_account(["worker"], {}))
}

cases contains denied("nobody makes a worker but the platform", "", question) if {
	question := ask(object.union(nobody, {"id": "platform", "kind": "workload"}), "account.create", new_account(["worker"], {}))
}

cases contains denied("nobody makes a worker but the platform", "", object.union(question, {
	"context": new_account(["platform_engineer"], {}),
	"resource": {"name": "worker"},
})) if {
	question := ask(object.union(nobody, {"id": "platform", "kind": "workload"}), "account.create", new_account(["worker"], {}))
}

cases contains denied("a service account never approves", "not for service accounts", ask(
	engineer, "account.create",
	new_account(["security_officer"], {"kind": "service"}),
))

cases contains allowed("an officer is disabled by officers only", ask(engineer, "account.disable", {"roles": ["viewer"]}))

cases contains denied("an officer is disabled by officers only", "Only a security officer", ask(engineer, "account.disable", {"roles": ["security_officer"]}))

cases contains denied("an officer is disabled by officers only", "Only a security officer", ask(engineer, "account.disable", {}))

cases contains allowed("an officer is disabled by officers only", ask(officer, "account.disable", {"roles": ["security_officer"]}))

cases contains allowed("keys are for services", ask(
	engineer, "key.create",
	{"account_kind": "service", "account_roles": ["endpoint_caller"]},
))

cases contains denied("keys are for services", "people log in", ask(
	engineer, "key.create",
	{"account_kind": "person", "account_roles": ["security_officer"]},
))

cases contains denied("keys are for services", "the platform itself", ask(
	engineer, "key.create",
	{"account_kind": "service", "account_roles": ["worker"]},
))

cases contains denied("keys are for services", "", ask(engineer, "key.create", {}))

cases contains allowed("a job is its submitters", ask(scientist, "job.show", {"submitted_by": "account-1", "kind": "run.execute"}))

cases contains denied("a job is its submitters", "A job is shown", ask(scientist, "job.show", {"submitted_by": "account-2", "kind": "run.execute"}))

cases contains denied("a job is its submitters", "A job is shown", ask(scientist, "job.show", {}))

cases contains allowed("a job is its submitters", ask(steward, "job.show", {"submitted_by": "account-2", "kind": "dataset.ingest"}))

cases contains denied("a job is its submitters", "A job is shown", ask(steward, "job.show", {"submitted_by": "account-2", "kind": "run.execute"}))

cases contains allowed("a job is its submitters", ask(person(["viewer"]), "job.show", {"submitted_by": "account-2", "kind": "x"}))
