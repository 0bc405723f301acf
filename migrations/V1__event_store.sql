-- The log, its dedup table and its dead letters. Facts: append-only, never changed, never deleted.
create schema if not exists eventstore;

-- The oldest release that can still work on this schema; a contracting migration raises it.
create table eventstore.compatibility (
    oldest_schema_version integer not null
);
insert into eventstore.compatibility values (1);

-- CACHE must stay 1: the watermark reads the sequence's height.
create sequence eventstore.event_position as bigint cache 1;

create table eventstore.events (
    position        bigint      not null,
    occurred_at     timestamptz not null,
    recorded_at     timestamptz not null default now(),
    event_id        uuid        not null,
    command_id      uuid        not null,
    -- Where the command lay: order per key can be verified from it.
    ledger          bigint,
    entry           bigint,
    partition       integer,
    batch_index     integer,
    bucket          smallint    not null,
    schema_version  smallint    not null,
    project         text        not null,
    stream          text        not null,
    type            text        not null,
    message_key     text,
    producer        text,
    data            json        not null,
    metadata        json,
    primary key (bucket, position)
) partition by range (position);

-- Every command that was recorded, for ever: what makes recording happen once (invariant 1).
create table eventstore.commands (
    position        bigint not null,
    command_id      uuid   not null,
    fingerprint     uuid   not null,
    project         text   not null,
    primary key (command_id, project)
);

create table eventstore.dead_letters (
    sequence        bigint      generated always as identity,
    project         text        not null,
    command_id      uuid        not null,
    code            text        not null,
    detail          text        not null,
    pointer         text        not null,
    hint            text,
    payload         bytea       not null,
    message_key     text,
    properties      json        not null,
    topic           text        not null,
    message_id      text        not null,
    attempts        integer     not null,
    first_seen      timestamptz not null,
    failed_at       timestamptz not null default now(),
    state           text        not null default 'open' check (state in ('open', 'replayed', 'discarded')),
    published_at    timestamptz,
    primary key (command_id, project, code)
);
create unique index dead_letters_sequence on eventstore.dead_letters (sequence);
create index dead_letters_unpublished on eventstore.dead_letters (sequence) where published_at is null;

-- The height of the sequence; a sequence that was never drawn from stands at 0, not at 1.
create function eventstore.allocated() returns bigint language sql volatile as $$
    select case when is_called then last_value else last_value - 1 end from eventstore.event_position
$$;

-- Writers call this before their first nextval, in their transaction: a shared lock that carries the height of the
-- sequence and is gone with the transaction, however that ends. ROLLBACK TO drops it: call again.
create function eventstore.declare_append() returns void language plpgsql volatile as $$
begin
    perform pg_advisory_xact_lock_shared((29541::bigint << 48) | eventstore.allocated());
end $$;

-- Everything up to here is settled: visible to any snapshot taken after this statement, or never to be.
-- A statement of its own, before the page (invariant 4). The height must be read before the locks.
create function eventstore.watermark() returns bigint language plpgsql volatile as $$
declare
    height  bigint;
    pending bigint;
begin
    height := eventstore.allocated();
    select min(((classid::bigint & 65535) << 32) | objid::bigint) into pending
      from pg_locks
     where locktype = 'advisory' and objsubid = 1 and (classid::bigint >> 16) = 29541
       and database = (select oid from pg_database where datname = current_database());
    return least(height, coalesce(pending, height));
end $$;

-- Makes partitions of 10,000,000 positions so that `ahead` of them lie beyond the one in use. Attached, not created
-- in place: attaching does not lock out writers. Runs with the owner's rights: writers may not make tables.
create function eventstore.ensure_partitions(ahead integer) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    size   constant bigint := 10000000;
    first  bigint;
    made   integer := 0;
    name   text;
begin
    perform pg_advisory_xact_lock(29541, 1);
    first := eventstore.allocated() / size;
    for n in first .. first + ahead loop
        name := format('events_p%s', lpad(n::text, 6, '0'));
        if to_regclass('eventstore.' || name) is null then
            execute format('create table eventstore.%I (like eventstore.events including all)', name);
            execute format('alter table eventstore.%I set (autovacuum_vacuum_insert_scale_factor = 0.05)', name);
            execute format('alter table eventstore.events attach partition eventstore.%I for values from (%s) to (%s)',
                           name, n * size, (n + 1) * size);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

select eventstore.ensure_partitions(2);
