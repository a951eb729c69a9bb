package ringfence_test

import rego.v1

mlops := person(["mlops_engineer"])

promotion := {
	"trained_by": "eve", "requested_by": "mia", "signature_valid": true,
	"evaluation": {"agent": {"ci_low": 0.81, "ci_high": 0.83}, "clinicians": {"ci_low": 0.77, "ci_high": 0.79}},
}

promote(changes) := ask(officer, "model.promote", object.union(promotion, changes))

cases contains allowed("a second person promotes a better model", promote({}))

cases contains denied("nobody approves their own", "Who requested", promote({"requested_by": name})) if {
	some name in ["account-1", "dana", "dana d"]
}

cases contains denied("nobody approves their own", "Who trained", promote({"trained_by": name})) if {
	some name in ["account-1", "dana", "dana d"]
}

cases contains denied("a second account is not a second person", "Who requested", object.union(promote({"requested_by": "dana d"}), {"actor": second})) if {
	second := object.union(officer, {"id": "account-9", "name": "d.two"})
}

cases contains denied("only an officer promotes", "This is for security_officer", ask(person([role]), "model.promote", promotion)) if {
	some role in ["mlops_engineer", "data_scientist", "platform_engineer", "data_steward"]
}

cases contains denied("the signature holds", "signature", promote({"signature_valid": false}))

cases contains denied("the signature holds", "signature", promote({"signature_valid": "yes"}))

cases contains denied("the whole interval is better", "begins at 0.785, theirs ends at 0.79", promote({"evaluation": {
	"agent": {"ci_low": 0.785},
	"clinicians": {"ci_high": 0.79},
}}))

cases contains denied("the whole interval is better", "whole interval", ask(officer, "model.promote", object.union(promotion, {"evaluation": equal}))) if {
	equal := {"agent": {"ci_low": 0.79}, "clinicians": {"ci_high": 0.79}}
}

cases contains denied("every missing fact denies a promotion", "", ask(officer, "model.promote", object.remove(promotion, [fact]))) if {
	some fact in ["trained_by", "requested_by", "signature_valid", "evaluation"]
}

cases contains denied("every missing fact denies a promotion", "", ask(
	officer, "model.promote",
	object.union(object.remove(promotion, ["evaluation"]), no_clinicians),
)) if {
	no_clinicians := {"evaluation": {"agent": {"ci_low": 0.9}}}
}

cases contains allowed("who trained does not request", ask(mlops, "model.request_promotion", promotion))

cases contains denied("who trained does not request", "does not request", ask(
	mlops, "model.request_promotion",
	object.union(promotion, {"trained_by": "dana"}),
))

cases contains allowed("only production is deployed", ask(mlops, "endpoint.deploy", {"stage": "production"}))

cases contains denied("only production is deployed", "Only a model in production", ask(mlops, "endpoint.deploy", {"stage": "registered"}))

cases contains denied("only production is deployed", "Only a model in production", ask(mlops, "endpoint.deploy", {}))

cases contains denied("an endpoint is asked by callers only", "This is for endpoint_caller", ask(person([role]), "endpoint.ask", {})) if {
	some role in ["mlops_engineer", "viewer", "data_scientist", "platform_engineer"]
}
