-- One row per InteractionTracked, as the list shows it. Rows are inserted in the order of their positions within a
-- bucket and never updated.
create table if not exists readmodels.interactions_v1 (
    position    bigint      not null primary key,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    event_id    uuid        not null,
    command_id  uuid        not null,
    project     text        not null,
    user_id     text        not null,
    interaction text        not null,
    target_id   text,
    campaign_id text,
    partner_id  text,
    -- What else was sent, where anything was. Not `jsonb`, which keeps neither the order nor the writing of numbers.
    details     json
) with (
    -- Insert-only: without these the visibility map and the statistics of a growing table are always far behind.
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);

-- Every index ends in the list's order, so that a page is read off it whatever the filter.
create index if not exists interactions_v1_time on readmodels.interactions_v1 (occurred_at, position);
create index if not exists interactions_v1_user on readmodels.interactions_v1 (user_id, occurred_at, position);
create index if not exists interactions_v1_project on readmodels.interactions_v1 (project, occurred_at, position);
create index if not exists interactions_v1_kind on readmodels.interactions_v1 (interaction, occurred_at, position);
create index if not exists interactions_v1_campaign on readmodels.interactions_v1 (campaign_id, occurred_at, position)
    where campaign_id is not null;
create index if not exists interactions_v1_partner on readmodels.interactions_v1 (partner_id, occurred_at, position)
    where partner_id is not null;
create index if not exists interactions_v1_target on readmodels.interactions_v1 (target_id, occurred_at, position)
    where target_id is not null;
