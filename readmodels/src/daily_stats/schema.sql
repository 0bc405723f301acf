-- Counters of 15 minutes. Targets are not among the keys: there are about as many as interactions, and counters of one
-- are no help. What asks for targets or users is counted from `interactions`, by their indexes.
create table if not exists readmodels.daily_stats_v1 (
    -- When the 15 minutes begin.
    quarter     timestamptz not null,
    -- Bucket modulo 4: projectors rarely meet on a row. Queries add the shards up.
    shard       smallint    not null,
    project     text        not null,
    interaction text        not null,
    -- '' stands for none, which keeps the key free of nulls; no id is empty.
    campaign_id text        not null,
    partner_id  text        not null,
    count       bigint      not null,
    primary key (quarter, project, interaction, campaign_id, partner_id, shard)
) with (
    -- Counters are updated in place (HOT) while their quarter lasts.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);
create index if not exists daily_stats_v1_campaign on readmodels.daily_stats_v1 (campaign_id, quarter);
create index if not exists daily_stats_v1_partner on readmodels.daily_stats_v1 (partner_id, quarter);

-- The same without campaigns and partners, of which there may be thousands: a month by kind is read in a few ms.
create table if not exists readmodels.daily_totals_v1 (
    quarter     timestamptz not null,
    shard       smallint    not null,
    project     text        not null,
    interaction text        not null,
    count       bigint      not null,
    primary key (quarter, project, interaction, shard)
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.05
);
