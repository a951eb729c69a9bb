package ringfence_test

import rego.v1

good_release := {
	"phase": "measured", "k": 7, "declared_k": 6, "suppressed_share": 0.1, "max_suppressed_share": 0.2,
	"columns": ["subject", "state"], "identifiers": [], "purpose": "care", "on_behalf_of": steward,
}

release(changes) := ask(worker, "dataset.release", object.union(good_release, changes))

good_read := {
	"purpose": "care", "dataset_purpose": "care", "columns": ["state"], "granted_columns": ["state", "action"],
	"on_behalf_of": scientist,
}

read(changes) := ask(worker, "dataset.read", object.union(good_read, changes))

cases contains denied("the landing zone has one writer", "This is for ingest_writer", ask(steward, "dataset.ingest", {}))

cases contains allowed("nobody but the worker reads raw", ask(worker, "dataset.read_raw", {}))

cases contains denied("nobody but the worker reads raw", "Nobody but the worker", ask(person([role]), "dataset.read_raw", {})) if {
	some role in ["data_scientist", "data_steward", "platform_engineer", "security_officer", "viewer", "ingest_writer"]
}

cases contains allowed("a good release is allowed", release({}))

cases contains allowed("a release is asked for by a steward", ask(steward, "dataset.release", {"phase": "request"}))

cases contains denied("a release is asked for by a steward", "k is unknown", ask(steward, "dataset.release", {}))

cases contains denied("a release is asked for by a steward", "This is for", ask(scientist, "dataset.release", {"phase": "request"}))

cases contains denied("the worker can not pass off a result as a request", "k is 1", release({"phase": "request", "k": 1}))

cases contains denied("k is at least five and as declared", "at least 5", release({"k": 4, "declared_k": 2}))

cases contains denied("k is at least five and as declared", "demands 8", release({"declared_k": 8}))

cases contains allowed("k is at least five and as declared", release({"k": 6}))

cases contains denied("k is at least five and as declared", "at least 5", release({"k": "7"}))

cases contains denied("the suppressed share is as declared", "would be suppressed", release({"suppressed_share": 0.21}))

cases contains allowed("the suppressed share is as declared", release({"suppressed_share": 0.2}))

cases contains denied("no direct identifier leaves", "The column email", release({"identifiers": ["email"]}))

cases contains denied("every missing fact denies a release", "", ask(worker, "dataset.release", object.remove(good_release, [fact]))) if {
	some fact in [
		"k", "declared_k", "suppressed_share", "max_suppressed_share", "columns", "identifiers", "purpose", "on_behalf_of",
	]
}

cases contains allowed("granted columns are read", read({}))

cases contains denied("granted columns are read", "The column ssn", read({"columns": ["state", "ssn"]}))

cases contains denied("granted columns are read", "names the columns", read({"columns": []}))

cases contains denied("the purpose matches", "serves the purpose care", read({"purpose": "marketing"}))

cases contains denied("the purpose matches", "", read({"purpose": "", "dataset_purpose": ""}))

cases contains denied("every missing fact denies a read", "", ask(worker, "dataset.read", object.remove(good_read, [fact]))) if {
	some fact in ["purpose", "dataset_purpose", "columns", "granted_columns", "on_behalf_of"]
}

cases contains denied("people do not read what was released", "", ask(person([role]), "dataset.read", good_read)) if {
	some role in ["data_scientist", "data_steward", "viewer", "platform_engineer"]
}
