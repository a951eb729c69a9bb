# Data: who may see it raw, what may be released, who may read what was.
package ringfence

import rego.v1

least_k := 5

deny contains "Nobody but the worker reads raw data." if {
	input.action == "dataset.read_raw"
	not holds("worker")
}

# A release is decided twice: when it is asked for (context.phase is "request"), and on the measured result.
measured if {
	input.action == "dataset.release"
	not input.context.phase == "request"
}

measured if {
	input.action == "dataset.release"
	holds("worker")
}

deny contains msg if {
	measured
	not k_holds(least_k)
	msg := sprintf("k is %v, at least %v is required of every release: generalise more or suppress more.", [
		fact("k"),
		least_k,
	])
}

deny contains msg if {
	measured
	not k_holds(object.get(input.context, "declared_k", null))
	msg := sprintf("k is %v, the declaration demands %v.", [fact("k"), fact("declared_k")])
}

k_holds(least) if {
	is_number(least)
	is_number(input.context.k)
	input.context.k >= least
}

deny contains msg if {
	measured
	not share_holds
	msg := sprintf("%v of the rows would be suppressed, the declaration allows %v: generalise more.", [
		fact("suppressed_share"),
		fact("max_suppressed_share"),
	])
}

share_holds if {
	is_number(input.context.suppressed_share)
	is_number(input.context.max_suppressed_share)
	input.context.suppressed_share <= input.context.max_suppressed_share
}

# Context: columns (names in the result), identifiers (those of them that hold direct identifiers).
deny contains msg if {
	measured
	some column in input.context.identifiers
	msg := sprintf("The column %v would hold direct identifiers: drop or pseudonymise it in the declaration.", [column])
}

deny contains "Whether a column would hold direct identifiers is not known: classify the dataset first." if {
	measured
	not is_list("identifiers")
}

deny contains "The columns of the result are not known." if {
	measured
	not is_list("columns")
}

deny contains "The declaration names no purpose." if {
	measured
	not named(object.get(input.context, "purpose", ""))
}

named(text) if {
	is_string(text)
	text != ""
}

# Context: purpose, dataset_purpose, columns (asked for), granted_columns (that the version has).
deny contains msg if {
	input.action == "dataset.read"
	not purpose_holds
	msg := sprintf("The dataset serves the purpose %v, not %v.", [fact("dataset_purpose"), fact("purpose")])
}

purpose_holds if {
	named(input.context.purpose)
	input.context.purpose == input.context.dataset_purpose
}

deny contains msg if {
	input.action == "dataset.read"
	some column in input.context.columns
	not granted(column)
	msg := sprintf("The column %v is not granted.", [column])
}

granted(column) if column in input.context.granted_columns

deny contains "A run names the columns that it reads." if {
	input.action == "dataset.read"
	not some_columns
}

some_columns if {
	is_list("columns")
	count(input.context.columns) > 0
}

fact(name) := object.get(input.context, name, "unknown")
