-- What `ledger` stores. Applied at every start, so each statement must be repeatable.
create table if not exists orders (
    id text primary key,
    item text not null,
    quantity integer not null check (quantity > 0),
    stored timestamptz not null default now()
);
