# Models: promoted by two people on figures that hold; served from production only.
package ringfence

import rego.v1

# Context: trained_by, requested_by (persons), signature_valid, evaluation: {agent: {ci_low, ..}, clinicians: {ci_high, ..}}.
deny contains "Who trained a model does not approve it: ask another person." if {
	input.action == "model.promote"
	input.context.trained_by in names(input.actor)
}

deny contains "Who requested a promotion does not approve it: ask another person." if {
	input.action == "model.promote"
	input.context.requested_by in names(input.actor)
}

deny contains "Who trained and who requested is not known." if {
	input.action == "model.promote"
	not people_known
}

people_known if {
	named(input.context.trained_by)
	named(input.context.requested_by)
}

deny contains "Who trained a model does not request its promotion: ask an MLOps engineer." if {
	input.action == "model.request_promotion"
	input.context.trained_by in names(input.actor)
}

deny contains "The model's signature does not hold: register it again." if {
	input.action in {"model.promote", "model.request_promotion"}
	not input.context.signature_valid == true
}

deny contains msg if {
	input.action in {"model.promote", "model.request_promotion"}
	not better
	msg := sprintf("Its whole interval must lie above the clinicians': it begins at %v, theirs ends at %v.", [
		figure("agent", "ci_low"),
		figure("clinicians", "ci_high"),
	])
}

better if {
	low := input.context.evaluation.agent.ci_low
	high := input.context.evaluation.clinicians.ci_high
	is_number(low)
	is_number(high)
	low > high
}

figure(agent, name) := object.get(object.get(input.context, ["evaluation", agent], {}), name, "unknown")

# Context: stage.
deny contains msg if {
	input.action == "endpoint.deploy"
	not input.context.stage == "production"
	msg := sprintf("Only a model in production is deployed, this one is %v: have it promoted.", [fact("stage")])
}
