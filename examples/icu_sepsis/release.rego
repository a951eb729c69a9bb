# What this hospital wants of every release of `icu-stays`, on top of the platform's own rules.
package ringfence.project.icu_stays

import rego.v1

releasable := {"subject", "stay", "birth_year", "region", "step", "state", "action", "next_state", "reward"}

deny contains msg if {
	input.action == "dataset.release"
	not enough_people_alike
	msg := "At least 5 people must share every combination of birth year and region."
}

deny contains msg if {
	input.action == "dataset.release"
	not little_suppressed
	msg := "More than a fifth of the people would be left out: the data would no longer speak for all of them."
}

deny contains msg if {
	input.action == "dataset.release"
	input.context.purpose != "sepsis-treatment"
	msg := sprintf("The ethics board approved these stays for sepsis-treatment, not for %s.", [input.context.purpose])
}

deny contains msg if {
	input.action == "dataset.release"
	some column in input.context.columns
	not column in releasable
	msg := sprintf("The column %v is not among those the ethics board approved.", [column])
}

# Named, so that a figure that is missing denies too.
enough_people_alike if input.context.k >= 5

little_suppressed if input.context.suppressed_share <= 0.2
