"""Stage 8: everyone's account ends, and the evidence is verified offline, then forged, and the forgeries are caught."""

from __future__ import annotations

from pathlib import Path

from ringfence.quickstart import tamper
from ringfence.quickstart.cast import ADMINISTRATOR, EXPLORER, OFFICER, PEOPLE, WRITER
from ringfence.quickstart.display import Advance
from ringfence.quickstart.journal import write_private
from ringfence.quickstart.stages_data import Told
from ringfence.quickstart.story import Story
from ringfence.registry.package import verify_package
from ringfence.trust.audit.chain import verify_export


def prove(story: Story, advance: Advance) -> Told:
    """Disable the cast, export the trail and the model, verify both offline, and catch tampered copies."""
    advance(0.1, "disabling the accounts of the story")
    _end_accounts(story)
    explorer = story.cast.acting_as(EXPLORER)
    advance(0.3, "exporting the trail and the model")
    trail, package = story.evidence / "audit.jsonl", story.evidence / "model.tar"
    write_private(trail, "".join(f"{line}\n" for line in explorer.export_audit()).encode())
    write_private(package, explorer.model_package(str(story.fact("model")["ref"])))
    keys = {purpose: _saved(story.evidence / f"{purpose}.pub.pem", explorer.public_key(purpose))
            for purpose in ("audit", "models")}
    advance(0.6, "verifying offline")
    lines = trail.read_text().splitlines()
    chain = verify_export(lines, keys["audit"])
    signature = verify_package(package, keys["models"])
    advance(0.8, "forging copies")
    story.journal.remember(
        audit={"records": chain.records, "export": str(trail), "chain_valid": chain.valid},
        model_proof={"path": str(package), "digest": signature.digest, "signature_valid": signature.valid},
        tamper={"audit_caught": _trail_forgeries_caught(story.evidence, lines, keys["audit"]),
                "model_caught": _model_forgery_caught(story.evidence, package.read_bytes(), keys["models"])})
    caught = story.fact("tamper")
    return (f"chain of {chain.records:,} records {'holds' if chain.valid else 'IS BROKEN'}; "
            f"signature {'holds' if signature.valid else 'IS BROKEN'}",
            f"forged trail {_word(caught['audit_caught'])}, forged model {_word(caught['model_caught'])}")


def _end_accounts(story: Story) -> None:
    """Let the officer disable everyone but the explorer and the endpoint's caller, itself last.

    Who is left is asked of the platform: an interrupted try may have ended some, the officer too.
    """
    ending = (ADMINISTRATOR, WRITER, *(name for name in PEOPLE if name not in (EXPLORER, OFFICER)), OFFICER)
    ended = {account["name"] for account in story.cast.acting_as(EXPLORER).accounts() if account["disabled"]}
    for name in ending:
        if name not in ended:
            story.cast.acting_as(OFFICER).disable_account(name)


def _saved(path: Path, data: bytes) -> bytes:
    write_private(path, data)
    return data


def _trail_forgeries_caught(folder: Path, lines: list[str], key: bytes) -> bool:
    forgeries = {"changed": tamper.forge_record(lines), "removed": tamper.remove_record(lines),
                 "truncated": lines[: len(lines) // 2]}
    for name, forged in forgeries.items():
        write_private(folder / f"forged-audit-{name}.jsonl", "".join(f"{line}\n" for line in forged).encode())
    return not any(verify_export(forged, key).valid for forged in forgeries.values())


def _model_forgery_caught(folder: Path, package: bytes, key: bytes) -> bool:
    forged = folder / "forged-model.tar"
    write_private(forged, tamper.flip_bit(package, b"agent.safetensors"))
    return not verify_package(forged, key).valid


def _word(caught: bool) -> str:
    return "caught" if caught else "NOT CAUGHT"
