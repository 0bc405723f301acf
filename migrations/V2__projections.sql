-- Who projects what up to where. The views themselves are made by their projections, in `readmodels`.
create schema if not exists readmodels;
create schema if not exists projections;

create table projections.projection (
    name        text        not null,
    version     integer     not null,
    -- The version that queries read.
    active      boolean     not null default false,
    created_at  timestamptz not null default now(),
    primary key (name, version)
);
create unique index projection_active on projections.projection (name) where active;

-- One row a bucket: checkpoint, lease and fence. Narrow and half-full pages, for it is updated all the time.
create table projections.bucket (
    name        text        not null,
    version     integer     not null,
    bucket      smallint    not null,
    checkpoint  bigint      not null default 0,
    owner       text,
    fence       bigint      not null default 0,
    lease_until timestamptz not null default '-infinity',
    updated_at  timestamptz not null default clock_timestamp(),
    primary key (name, version, bucket)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

-- Projectors that are alive: the fair share of buckets is worked out from it.
create table projections.projector (
    id          text        primary key,
    alive_until timestamptz not null
) with (fillfactor = 50);
