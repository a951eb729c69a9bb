# What this hospital wants of every release of `icu-stays`, on top of the platform's own rules.
package ringfence.project.icu_stays

import rego.v1

releasable := {"subject", "stay", "birth_year", "region", "step", "state", "action", "next_state", "reward"}

# A release is decided when it is asked for, and again on what came of it. Only then is there anything to judge.
measured if {
	input.action == "dataset.release"
	startswith(input.resource.name, "icu-stays")
	not input.context.phase == "request"
}

deny contains msg if {
	measured
	not enough_people_alike
	msg := "At least 5 people must share every combination of birth year and region."
}

deny contains msg if {
	measured
	not little_suppressed
	msg := "More than a fifth would be left out: the data would no longer speak for everyone."
}

deny contains msg if {
	measured
	not approved_purpose
	msg := "The ethics board approved these stays for sepsis-treatment and for nothing else."
}

deny contains msg if {
	measured
	some column in input.context.columns
	not column in releasable
	msg := sprintf("The column %v is not among those that the ethics board approved.", [column])
}

# Named, so that a figure that is missing denies too.
enough_people_alike if input.context.k >= 5

little_suppressed if input.context.suppressed_share <= 0.2

approved_purpose if input.context.purpose == "sepsis-treatment"
