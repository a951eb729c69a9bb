"""The first tables.

Revision: 0001; follows: nothing
"""

# ruff: noqa: E501
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ringfence.storage.migrate import on_sqlite

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one step forward."""
    op.create_table('accounts',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('roles', sa.Text(), nullable=False),
    sa.Column('person', sa.String(length=128), nullable=False),
    sa.Column('password', sa.Text(), nullable=False),
    sa.Column('created_at', sa.Float(), nullable=False),
    sa.Column('disabled_at', sa.Float(), nullable=True),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('name')
    )
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_accounts_person'), ['person'], unique=False)
        batch_op.create_index(batch_op.f('ix_accounts_project'), ['project'], unique=False)

    op.create_table('api_keys',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('account', sa.String(length=40), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('created_at', sa.Float(), nullable=False),
    sa.Column('expires_at', sa.Float(), nullable=False),
    sa.Column('revoked_at', sa.Float(), nullable=True),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('digest')
    )
    with op.batch_alter_table('api_keys', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_api_keys_account'), ['account'], unique=False)

    op.create_table('audit_checkpoints',
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('checkpoint', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('seq')
    )
    op.create_table('audit_records',
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('previous', sa.String(length=64), nullable=False),
    sa.Column('record', sa.Text(), nullable=False),
    sa.Column('actor', sa.String(length=64), nullable=False),
    sa.Column('actor_name', sa.String(length=200), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('resource', sa.String(length=300), nullable=False),
    sa.Column('outcome', sa.String(length=16), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('seq')
    )
    with op.batch_alter_table('audit_records', schema=None) as batch_op:
        batch_op.create_index('audit_by_action', ['action', 'seq'], unique=False)
        batch_op.create_index('audit_by_actor', ['actor', 'seq'], unique=False)
        batch_op.create_index('audit_by_actor_name', ['actor_name', 'seq'], unique=False)
        batch_op.create_index('audit_by_resource', ['resource', 'seq'], unique=False)

    op.create_table('bootstrap_tokens',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('expires_at', sa.Float(), nullable=False),
    sa.Column('used_at', sa.Float(), nullable=True),
    sa.PrimaryKeyConstraint('digest')
    )
    op.create_table('dataset_landings',
    sa.Column('blob', sa.String(length=80), nullable=False),
    sa.Column('dataset', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('rows', sa.BigInteger(), nullable=False),
    sa.Column('columns', sa.Text(), nullable=False),
    sa.Column('findings', sa.Text(), nullable=True),
    sa.Column('landed_by', sa.String(length=64), nullable=False),
    sa.Column('landed_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('blob')
    )
    with op.batch_alter_table('dataset_landings', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_dataset_landings_dataset'), ['dataset'], unique=False)

    op.create_table('dataset_versions',
    sa.Column('blob', sa.String(length=80), nullable=False),
    sa.Column('dataset', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('job', sa.String(length=40), nullable=False),
    sa.Column('landing', sa.String(length=80), nullable=False),
    sa.Column('source', sa.String(length=80), nullable=False),
    sa.Column('declaration', sa.Text(), nullable=False),
    sa.Column('example', sa.String(length=80), nullable=False),
    sa.Column('measured', sa.Text(), nullable=False),
    sa.Column('released_by', sa.String(length=64), nullable=False),
    sa.Column('released_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('blob'),
    sa.UniqueConstraint('dataset', 'number'),
    sa.UniqueConstraint('job')
    )
    with op.batch_alter_table('dataset_versions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_dataset_versions_dataset'), ['dataset'], unique=False)

    op.create_table('datasets',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('declaration', sa.Text(), nullable=False),
    sa.Column('declared_by', sa.String(length=64), nullable=False),
    sa.Column('declared_at', sa.String(length=40), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('refusal', sa.Text(), nullable=False),
    sa.Column('landing', sa.String(length=80), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('project', 'name')
    )
    op.create_table('endpoints',
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('model', sa.String(length=80), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('observation_space', sa.Text(), nullable=False),
    sa.Column('action_space', sa.Text(), nullable=False),
    sa.Column('deployed_by', sa.String(length=120), nullable=False),
    sa.Column('deployed_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('project', 'name')
    )
    op.create_table('gate_intents',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=False),
    sa.Column('details', sa.Text(), nullable=False),
    sa.Column('owner', sa.String(length=120), nullable=False),
    sa.Column('opened_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('jobs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('kind', sa.String(length=64), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('submitted_by', sa.String(length=64), nullable=False),
    sa.Column('submitted_at', sa.Float(), nullable=False),
    sa.Column('finished_at', sa.Float(), nullable=True),
    sa.Column('share', sa.Float(), nullable=False),
    sa.Column('text', sa.String(length=400), nullable=False),
    sa.Column('result', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('worker', sa.String(length=120), nullable=True),
    sa.Column('lease_until', sa.Float(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index('jobs_by_state', ['state', 'submitted_at'], unique=False)
        batch_op.create_index('jobs_one_per_key', ['project', 'key'], unique=True, sqlite_where=sa.text("state != 'failed'"), postgresql_where=sa.text("state != 'failed'"))

    op.create_table('model_promotions',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('run', sa.String(length=40), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('model', sa.String(length=80), nullable=False),
    sa.Column('stage', sa.String(length=20), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('requested_by', sa.String(length=120), nullable=False),
    sa.Column('requested_person', sa.String(length=120), nullable=False),
    sa.Column('requested_at', sa.String(length=40), nullable=False),
    sa.Column('approved_by', sa.String(length=120), nullable=False),
    sa.Column('approved_person', sa.String(length=120), nullable=False),
    sa.Column('approval', sa.String(length=400), nullable=False),
    sa.Column('approved_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('model_promotions', schema=None) as batch_op:
        batch_op.create_index('model_promotions_one_open', ['run', 'stage'], unique=True, sqlite_where=sa.text("state = 'requested'"), postgresql_where=sa.text("state = 'requested'"))

    op.create_table('model_versions',
    sa.Column('run', sa.String(length=40), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('stage', sa.String(length=20), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('observation_space', sa.Text(), nullable=False),
    sa.Column('action_space', sa.Text(), nullable=False),
    sa.Column('evaluation', sa.Text(), nullable=False),
    sa.Column('provenance', sa.Text(), nullable=False),
    sa.Column('trained_by', sa.String(length=120), nullable=False),
    sa.Column('registered_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('run'),
    sa.UniqueConstraint('project', 'name', 'version')
    )
    op.create_table('policies',
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('package', sa.String(length=64), nullable=False),
    sa.Column('rego', sa.Text(), nullable=False),
    sa.Column('added_by', sa.String(length=200), nullable=False),
    sa.Column('added_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('number'),
    sa.UniqueConstraint('package'),
    sa.UniqueConstraint('project', 'name')
    )
    op.create_table('run_metrics',
    sa.Column('run', sa.String(length=40), nullable=False),
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('step', sa.Integer(), nullable=False),
    sa.Column('numbers', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('run', 'number')
    )
    op.create_table('runs',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('job', sa.String(length=40), nullable=False),
    sa.Column('specification', sa.Text(), nullable=False),
    sa.Column('spec_digest', sa.String(length=80), nullable=False),
    sa.Column('seed', sa.Integer(), nullable=False),
    sa.Column('purpose', sa.String(length=200), nullable=False),
    sa.Column('dataset', sa.Text(), nullable=True),
    sa.Column('simulators', sa.Text(), nullable=False),
    sa.Column('submitted_by', sa.String(length=120), nullable=False),
    sa.Column('trained_by', sa.String(length=120), nullable=False),
    sa.Column('submitted_at', sa.String(length=40), nullable=False),
    sa.Column('trained', sa.Text(), nullable=True),
    sa.Column('evaluated', sa.Text(), nullable=True),
    sa.Column('model', sa.String(length=80), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_runs_project'), ['project'], unique=False)

    op.create_table('simulators',
    sa.Column('blob', sa.String(length=80), nullable=False),
    sa.Column('project', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('version', sa.String(length=64), nullable=False),
    sa.Column('digest', sa.String(length=80), nullable=False),
    sa.Column('manifest', sa.Text(), nullable=False),
    sa.Column('signature', sa.String(length=128), nullable=False),
    sa.Column('state', sa.String(length=20), nullable=False),
    sa.Column('admitted_at', sa.String(length=40), nullable=False),
    sa.PrimaryKeyConstraint('blob'),
    sa.UniqueConstraint('project', 'digest'),
    sa.UniqueConstraint('project', 'name', 'version')
    )
    on_sqlite("""CREATE TRIGGER audit_checkpoints_no_update BEFORE UPDATE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")
    on_sqlite("""CREATE TRIGGER audit_checkpoints_no_delete BEFORE DELETE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")
    on_sqlite("""CREATE TRIGGER audit_checkpoints_no_insert BEFORE INSERT ON audit_checkpoints WHEN EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq = NEW.seq) BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")
    on_sqlite("""CREATE TRIGGER audit_records_no_update BEFORE UPDATE ON audit_records BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")
    on_sqlite("""CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")
    on_sqlite("""CREATE TRIGGER audit_records_no_insert BEFORE INSERT ON audit_records WHEN NEW.seq != (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_records) OR NEW.previous != COALESCE((SELECT hash FROM audit_records ORDER BY seq DESC LIMIT 1), printf('%.64c', '0')) BEGIN SELECT RAISE(ABORT, 'the audit trail can not be changed'); END""")


def downgrade() -> None:
    """Go one step back."""
    op.drop_table('simulators')
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_runs_project'))

    op.drop_table('runs')
    op.drop_table('run_metrics')
    op.drop_table('policies')
    op.drop_table('model_versions')
    with op.batch_alter_table('model_promotions', schema=None) as batch_op:
        batch_op.drop_index('model_promotions_one_open', sqlite_where=sa.text("state = 'requested'"), postgresql_where=sa.text("state = 'requested'"))

    op.drop_table('model_promotions')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('jobs_one_per_key', sqlite_where=sa.text("state != 'failed'"), postgresql_where=sa.text("state != 'failed'"))
        batch_op.drop_index('jobs_by_state')

    op.drop_table('jobs')
    op.drop_table('gate_intents')
    op.drop_table('endpoints')
    op.drop_table('datasets')
    with op.batch_alter_table('dataset_versions', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_dataset_versions_dataset'))

    op.drop_table('dataset_versions')
    with op.batch_alter_table('dataset_landings', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_dataset_landings_dataset'))

    op.drop_table('dataset_landings')
    op.drop_table('bootstrap_tokens')
    with op.batch_alter_table('audit_records', schema=None) as batch_op:
        batch_op.drop_index('audit_by_resource')
        batch_op.drop_index('audit_by_actor_name')
        batch_op.drop_index('audit_by_actor')
        batch_op.drop_index('audit_by_action')

    op.drop_table('audit_records')
    op.drop_table('audit_checkpoints')
    with op.batch_alter_table('api_keys', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_api_keys_account'))

    op.drop_table('api_keys')
    with op.batch_alter_table('accounts', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_accounts_project'))
        batch_op.drop_index(batch_op.f('ix_accounts_person'))

    op.drop_table('accounts')
