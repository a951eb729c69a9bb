package ringfence_test

import rego.v1

clean := {
	"findings": [{"severity": "medium", "rule": "licence.missing", "file": "simulator.yaml", "line": 0}],
	"finding_counts": {"low": 0, "medium": 1, "high": 0, "critical": 0},
	"advisories": "not checked", "licences": [], "on_behalf_of": scientist,
}

admit(changes) := ask(worker, "simulator.admit", object.union(clean, changes))

found(severity) := {
	"findings": [{"severity": severity, "rule": "call.process", "file": "walk.py", "line": 7}],
	"finding_counts": object.union({"low": 0, "medium": 0, "high": 0, "critical": 0}, {severity: 1}),
}

cases contains allowed("low and medium findings are shown, not refused", admit({}))

cases contains allowed("low and medium findings are shown, not refused", admit(found(severity))) if {
	some severity in ["low", "medium"]
}

cases contains denied("high and critical findings are refused by name", "call.process in walk.py, line 7", admit(found(severity))) if {
	some severity in ["high", "critical"]
}

cases contains denied("a severity that nobody knows is refused", "call.process", admit({"findings": [object.union(
	found("low").findings[0],
	{"severity": severity},
)]})) if {
	some severity in ["none", "LOW", 0]
}

cases contains denied("a finding without a severity is refused", "unknown finding", admit({"findings": [{"rule": "x.y"}]}))

cases contains denied("what is counted and not named is refused", "high or critical", admit({"finding_counts": {
	"low": 0,
	"medium": 30,
	"high": 1,
	"critical": 0,
}}))

cases contains denied("a bundle that was not scanned is refused", "not scanned", ask(
	worker, "simulator.admit",
	object.remove(clean, [fact]),
)) if {
	some fact in ["findings", "finding_counts"]
}

cases contains denied("a bundle that was not scanned is refused", "not scanned", admit({"findings": findings})) if {
	some findings in ["none", {}, false]
}

cases contains denied("only the worker admits", "This is for worker", ask(scientist, "simulator.admit", clean))

cases contains allowed("a scientist or an officer removes", ask(actor, "simulator.remove", {})) if {
	some actor in [scientist, officer]
}

cases contains denied("nobody else removes", "This is for", ask(person([role]), "simulator.remove", {})) if {
	some role in ["viewer", "mlops_engineer", "data_steward", "platform_engineer", "worker"]
}
