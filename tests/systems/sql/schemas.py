# ruff: noqa: E501 -- statements of SQL stand in one line
"""Schemas like those that people have, small: a music shop, a film rental, a trader, and one of each oddity."""

from __future__ import annotations

MUSIC = """
CREATE TABLE artist (artist_id SERIAL PRIMARY KEY, name VARCHAR(120) UNIQUE);
CREATE TABLE album (album_id SERIAL PRIMARY KEY, title VARCHAR(160) NOT NULL, artist_id INTEGER NOT NULL
  REFERENCES artist (artist_id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE track (track_id SERIAL PRIMARY KEY, name VARCHAR(200) NOT NULL, album_id INTEGER
  REFERENCES album (album_id) ON DELETE CASCADE, milliseconds INTEGER NOT NULL CHECK (milliseconds > 0));
CREATE TABLE playlist (playlist_id SERIAL PRIMARY KEY, name VARCHAR(120));
CREATE TABLE playlist_track (playlist_id INTEGER NOT NULL REFERENCES playlist ON DELETE CASCADE,
  track_id INTEGER NOT NULL REFERENCES track ON DELETE CASCADE, PRIMARY KEY (playlist_id, track_id));
CREATE INDEX album_artist ON album (artist_id);
INSERT INTO artist (name) VALUES ('Ana'), ('Bo');
INSERT INTO album (title, artist_id) VALUES ('First', 1), ('Second', 2);
INSERT INTO track (name, album_id, milliseconds) VALUES ('One', 1, 100), ('Two', 1, 200), ('Three', 2, 300);
INSERT INTO playlist (name) VALUES ('mine');
INSERT INTO playlist_track VALUES (1, 1), (1, 3);
"""

RENTAL = """
CREATE TYPE rating AS ENUM ('G', 'PG', 'R');
CREATE DOMAIN year AS integer CHECK (VALUE BETWEEN 1901 AND 2155);
CREATE SEQUENCE film_film_id_seq;
CREATE TABLE film (film_id integer DEFAULT nextval('film_film_id_seq'::regclass) PRIMARY KEY,
  title text NOT NULL, description text, released year, rate rating DEFAULT 'G'::rating,
  price numeric(5, 2) DEFAULT 4.99 NOT NULL, features text[], fulltext tsvector,
  last_update timestamptz DEFAULT now() NOT NULL);
CREATE INDEX film_fulltext ON film USING gist (fulltext);
CREATE TABLE inventory (inventory_id serial PRIMARY KEY, film_id integer NOT NULL
  REFERENCES film ON DELETE RESTRICT ON UPDATE CASCADE, last_update timestamptz DEFAULT now() NOT NULL);
CREATE TABLE rental (rental_id serial PRIMARY KEY, inventory_id integer NOT NULL REFERENCES inventory,
  during tstzrange NOT NULL DEFAULT '[2024-01-01,2024-01-02)', returned boolean DEFAULT false);
CREATE TABLE payment (payment_id serial, amount numeric(5, 2) NOT NULL, paid date NOT NULL,
  PRIMARY KEY (payment_id, paid)) PARTITION BY RANGE (paid);
CREATE TABLE payment_2024_01 PARTITION OF payment FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE payment_2024_02 PARTITION OF payment FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.last_update = CURRENT_TIMESTAMP; RETURN NEW; END $$;
CREATE TRIGGER last_updated BEFORE UPDATE ON film FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE TRIGGER film_fulltext BEFORE INSERT OR UPDATE ON film FOR EACH ROW EXECUTE FUNCTION
  tsvector_update_trigger(fulltext, 'pg_catalog.english', title, description);
CREATE FUNCTION in_stock(wanted integer) RETURNS boolean LANGUAGE plpgsql AS $$
  DECLARE out integer;
  BEGIN
    SELECT count(*) INTO out FROM public.rental r WHERE r.inventory_id = wanted AND NOT r.returned;
    IF out = 0 THEN RETURN TRUE; END IF;
    RETURN FALSE;
  END $$;
CREATE FUNCTION stock(film integer) RETURNS SETOF integer LANGUAGE sql AS
  $$ SELECT inventory_id FROM inventory WHERE film_id = $1 AND in_stock(inventory_id) $$;
CREATE VIEW film_list AS SELECT f.film_id, f.title, count(i.inventory_id) AS copies
  FROM film f LEFT JOIN inventory i USING (film_id) GROUP BY f.film_id, f.title;
CREATE MATERIALIZED VIEW sales AS SELECT sum(amount) AS total FROM payment;
INSERT INTO film (title, released, features) VALUES ('Alpha', 2001, '{a,b}'), ('Beta', 2002, NULL);
INSERT INTO inventory (film_id) VALUES (1), (1), (2);
INSERT INTO rental (inventory_id) VALUES (1);
INSERT INTO payment (amount, paid) VALUES (1.50, '2024-01-05'), (2.50, '2024-02-05');
"""

TRADER = """
CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company varchar(40) NOT NULL);
CREATE TABLE employees (employee_id smallint PRIMARY KEY, name varchar(20),
  reports_to smallint REFERENCES employees);
CREATE TABLE orders (order_id smallint PRIMARY KEY, customer_id varchar(5) REFERENCES customers
  ON UPDATE CASCADE ON DELETE SET NULL, employee_id smallint REFERENCES employees, freight real);
CREATE TABLE products (product_id smallint PRIMARY KEY, name varchar(40) NOT NULL, stock smallint,
  price numeric(8, 2));
CREATE TABLE order_details (order_id smallint NOT NULL REFERENCES orders ON DELETE CASCADE,
  product_id smallint NOT NULL REFERENCES products, quantity smallint NOT NULL, PRIMARY KEY (order_id, product_id));
INSERT INTO customers VALUES ('ALFKI', 'Alfreds'), ('BERGS', 'Berglunds');
INSERT INTO employees VALUES (1, 'Nan', NULL), (2, 'Andy', 1);
INSERT INTO orders VALUES (10, 'ALFKI', 1, 1.5), (11, 'BERGS', 2, 2.5);
INSERT INTO products VALUES (1, 'Chai', 10, 18.00), (2, 'Chang', 5, 19.00);
INSERT INTO order_details VALUES (10, 1, 2), (10, 2, 1), (11, 1, 3);
"""

ODD = """
CREATE TABLE city (name text PRIMARY KEY, people integer DEFAULT 0);
CREATE TABLE capital (of text NOT NULL, PRIMARY KEY (name)) INHERITS (city);
CREATE TABLE room (id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5) PRIMARY KEY, floor int,
  label text GENERATED ALWAYS AS ('floor ' || floor::text) STORED);
CREATE TABLE booking (id serial PRIMARY KEY, span int4range, EXCLUDE USING gist (span WITH &&));
CREATE TABLE note (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), data jsonb DEFAULT '{}', at timestamptz
  DEFAULT now(), luck double precision DEFAULT random());
CREATE TABLE slot (id int PRIMARY KEY, rank int UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
ALTER SEQUENCE booking_id_seq INCREMENT BY 50;
INSERT INTO city VALUES ('Graz', 3), ('Linz', 2);
INSERT INTO capital VALUES ('Wien', 9, 'Austria');
INSERT INTO room (floor) VALUES (1);
INSERT INTO booking (span) VALUES ('[1,3)');
INSERT INTO slot VALUES (1, 1), (2, 2);
"""
"""What is in none of the others: heirs, identities with steps, generated columns, exclusion, deferrable keys."""


def for_sqlite(script: str) -> str:
    """Return a script of `MUSIC` or `TRADER` for SQLite."""
    return script.replace("SERIAL PRIMARY KEY", "INTEGER PRIMARY KEY")
