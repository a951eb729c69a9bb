# Cases, not assertions: each is a question and the answer that it must get. The test suite puts them to the embedded engine
# as it puts any question, because regorus does not decide `with input as` reliably; `opa test policies/` runs them too.
package ringfence_test

import rego.v1

person(roles) := {
	"id": "account-1", "name": "dana", "kind": "person", "roles": roles, "project": "default", "person": "dana d",
	"scopes": [],
}

ask(actor, action, context) := {
	"actor": actor, "action": action, "resource": {"kind": "thing", "name": "thing", "project": "default"},
	"context": context,
}

worker := object.union(person(["worker"]), {"id": "account-w", "name": "worker", "kind": "service", "person": ""})

steward := person(["data_steward"])

scientist := person(["data_scientist"])

allowed(title, question) := {"title": title, "input": question, "allow": true, "reason": ""}

# `reason` is part of one of the reasons that must be given.
denied(title, reason, question) := {"title": title, "input": question, "allow": false, "reason": reason}

test_cases if count(failed) == 0

failed contains case.title if {
	some case in cases
	not answered(case)
}

answered(case) if {
	decision := data.ringfence.decision with input as case.input
	decision.allow == case.allow
	given(case.reason, decision.deny)
}

given("", _) := true

given(reason, reasons) if {
	reason != ""
	some sentence in reasons
	contains(sentence, reason)
}

cases contains allowed("a role permits its actions", ask(scientist, "run.submit", {}))

cases contains allowed("a role permits its actions", ask(steward, "dataset.declare", {}))

cases contains denied("nothing is permitted without a role", "This is for", ask(person([]), "dataset.list", {}))

cases contains denied("nothing is permitted without a role", "This is for", ask(person(["no_such_role"]), "dataset.list", {}))

cases contains denied("a refusal names the roles that may", "data_scientist", ask(steward, "run.submit", {}))

cases contains denied("a refusal names the roles that may", "no role", ask(scientist, "no.such_action", {}))

cases contains denied("an empty question is denied", "", {})

cases contains denied("an empty question is denied", "", {"action": "dataset.list"})

cases contains denied("conflicting roles can do nothing", "holds data_steward and data_scientist", ask(
	person(["data_scientist", "data_steward"]),
	"dataset.list", {},
))

cases contains allowed("viewer and auditor can be held together", ask(person(["viewer", "auditor"]), "audit.search", {}))

cases contains denied("another project is closed", "another project", elsewhere) if {
	elsewhere := object.union(ask(scientist, "run.show", {}), {"resource": {
		"kind": "run", "name": "run-1",
		"project": "other",
	}})
}

cases contains denied("a resource without a project is closed", "", nowhere) if {
	nowhere := object.union(object.remove(ask(scientist, "run.show", {}), ["resource"]), {"resource": {"name": "x"}})
}

cases contains allowed("a key is as narrow as its scopes", ask(object.union(caller, {"scopes": ["endpoint.ask"]}), "endpoint.ask", {})) if {
	caller := object.union(person(["endpoint_caller"]), {"kind": "service"})
}

cases contains allowed("a key is as narrow as its scopes", ask(
	object.union(caller, {"scopes": ["endpoint.ask:thing"]}),
	"endpoint.ask", {},
)) if {
	caller := object.union(person(["endpoint_caller"]), {"kind": "service"})
}

cases contains denied("a key is as narrow as its scopes", "scopes", ask(object.union(caller, {"scopes": ["endpoint.ask:other"]}), "endpoint.ask", {})) if {
	caller := object.union(person(["endpoint_caller"]), {"kind": "service"})
}

cases contains denied("a key is as narrow as its scopes", "scopes", ask(object.union(caller, {"scopes": ["endpoint.ask:"]}), "endpoint.ask", {})) if {
	caller := object.union(person(["endpoint_caller"]), {"kind": "service"})
}

cases contains allowed("whoever started a job sees what became of it", ask(writer, "job.show", {"submitted_by": writer.id}))

cases contains denied("whoever started a job sees what became of it", "scopes", ask(writer, "job.show", {"submitted_by": "another"}))

writer := object.union(person(["ingest_writer"]), {"kind": "service", "scopes": ["dataset.ingest"]})

cases contains denied("a scope never widens a role", "This is for", ask(object.union(scientist, {"scopes": ["audit.export"]}), "audit.export", {}))

cases contains allowed("the worker acts only for someone who may", ask(worker, "run.execute", for_scientist)) if {
	for_scientist := {"on_behalf_of": scientist}
}

cases contains denied("the worker acts only for someone who may", "for an account that may run.submit", ask(worker, "run.execute", {}))

cases contains denied("the worker acts only for someone who may", "for an account that may run.submit", ask(worker, "run.execute", {"on_behalf_of": steward}))

cases contains denied("the worker acts only for someone who may", "for an account", ask(
	worker, "run.execute",
	{"on_behalf_of": person(["data_scientist", "security_officer"])},
))

cases contains denied("the worker acts only for someone who may", "for an account", ask(
	worker, "run.execute",
	{"on_behalf_of": object.union(scientist, {"project": "other"})},
))

cases contains allowed("the platform's engineer makes backups", ask(person(["platform_engineer"]), "backup.create", {}))

cases contains denied("nobody but the platform's engineer makes backups", "This is for platform_engineer", ask(person([role]), "backup.create", {})) if {
	some role, _ in data.roles.actions
	role != "platform_engineer"
}

cases contains allowed("a key for nothing but backups makes them", ask(object.union(nightly, {"scopes": ["backup.create"]}), "backup.create", {}))

cases contains denied("a key for something else makes no backup", "scopes", ask(object.union(nightly, {"scopes": ["platform.show"]}), "backup.create", {}))

nightly := object.union(person(["platform_engineer"]), {"kind": "service"})
