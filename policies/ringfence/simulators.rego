# Simulators: admitted when a scan was made and found nothing that must not be in them.
package ringfence

import rego.v1

# Context: findings [{severity, rule, file, line}, ...], the worst first, at most 20; finding_counts {severity: number};
# advisories ("not checked": no list of known vulnerabilities was looked into); licences.
deny contains "Its bundle was not scanned: build it again." if {
	input.action == "simulator.admit"
	not is_list("findings")
}

deny contains "Its bundle was not scanned: build it again." if {
	input.action == "simulator.admit"
	not counted
}

counted if {
	is_number(input.context.finding_counts.high)
	is_number(input.context.finding_counts.critical)
}

deny contains msg if {
	input.action == "simulator.admit"
	is_list("findings")
	some finding in input.context.findings
	not tolerated(finding)
	msg := sprintf("%v finding %v in %v, line %v: take it out of the project and build again.", [
		object.get(finding, "severity", "unknown"),
		object.get(finding, "rule", "unknown"),
		object.get(finding, "file", "unknown"),
		object.get(finding, "line", "unknown"),
	])
}

# Counted, but not among those that are named: it denies all the same.
deny contains "It has findings of high or critical severity: take them out of the project and build again." if {
	input.action == "simulator.admit"
	input.context.finding_counts.high + input.context.finding_counts.critical > 0
}

tolerated(finding) if finding.severity in {"low", "medium"}
